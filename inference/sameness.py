"""A picture that does not depend on what is made beside it, bit for bit.

Where a float32 picture on the CPU used to differ with its batch (found by comparing what goes into
and comes out of each part, torch 2.13, diffusers 0.42.1, one thread, 2026-11):

- The timestep's embedding and the modulations made from it: one row is multiplied by another kernel
  than several. All rows of a batch are equal, so one row is enough.
- Attention over captions padded to the longest: the padding counts for nothing, but moves the
  places where sums are cut into blocks. Over its own tokens alone each picture sums as it would by
  itself; without a mask that is faster, too.
- The VAE's convolutions: one picture at a time.

The text encoder pads to a fixed length, and its rows do not depend on each other. What is left are
the large products: with one thread a row's result does not depend on how many there are; with
several it may, since each thread takes a share of the rows. There only `one_by_one` helps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class OwnLength:
    """An attention processor that lets each picture attend over its own tokens, without a mask."""

    def __init__(self, inner: Callable[..., Any]) -> None:
        self._inner = inner

    def __call__(
        self,
        attn: Any,
        hidden_states: Any,
        encoder_hidden_states: Any = None,  # noqa: ARG002  (diffusers passes it by name)
        *,
        attention_mask: Any = None,
        freqs_cis: Any = None,
    ) -> Any:
        """Attend (batch, tokens, width); a mask is (batch, tokens), true for a picture's own."""
        if attention_mask is None:
            return self._inner(attn, hidden_states, freqs_cis=freqs_cis)
        attended = hidden_states.new_zeros(hidden_states.shape)
        for row, tokens in enumerate(attention_mask.sum(1).tolist()):
            own = (slice(row, row + 1), slice(tokens))
            attended[own] = self._inner(attn, hidden_states[own], freqs_cis=freqs_cis[own])
        return attended


def make_independent(pipe: Any, *, one_by_one: bool, by_own_length: bool) -> None:
    """Change a pipeline so that its pictures depend less, or not at all, on each other.

    ``by_own_length`` reads lengths back from the device, so a GPU would wait for it, and a compiler
    would break there. That the decoder takes one picture at a time is `inference.placement`'s.
    """
    if one_by_one:
        _one_by_one(pipe.transformer)
    else:
        _one_timestep(pipe.transformer)
        if by_own_length:
            _by_own_length(pipe.transformer)


def _by_own_length(transformer: Any) -> None:
    """Give every attention of the transformer an `OwnLength` processor."""
    for module in transformer.modules():
        if hasattr(module, "set_processor"):
            module.set_processor(OwnLength(module.processor))


def _one_timestep(transformer: Any) -> None:
    """Embed a batch's one timestep once; the modulations made from it serve every picture."""
    forward = transformer.forward

    def with_one(latents: Sequence[Any], timestep: Any, *rest: Any, **options: Any) -> Any:
        return forward(latents, timestep[:1], *rest, **options)

    transformer.forward = with_one


def _one_by_one(transformer: Any) -> None:
    """Take the pictures of a batch through the transformer one at a time: same shape, same bits."""
    forward = transformer.forward

    def each(
        latents: Sequence[Any], timestep: Any, captions: Sequence[Any], **options: Any
    ) -> tuple[list[Any]]:
        alone = (
            forward([latent], timestep[:1], [caption], **options)[0][0]
            for latent, caption in zip(latents, captions, strict=True)
        )
        return (list(alone),)

    transformer.forward = each
