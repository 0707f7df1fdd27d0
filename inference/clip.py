"""CLIP as a scorer: how near a picture is to its prompt, in the eyes of a model.

Runs in the scorer's process only. Nothing is downloaded and nothing is unpickled.
"""

from __future__ import annotations

from pathlib import Path

from inference.engine import Pixels


WEIGHT = 2.5
"""CLIPScore is 2.5 times the cosine, or 0 where that is negative: Hessel et al., CLIPScore (2021),
section 3, https://arxiv.org/abs/2104.08718. Theirs prefixes captions with "A photo depicts";
prompts are no captions, so this does not."""


class ClipScorer:
    """CLIPScore, capped at 1, with a CLIP model from a local folder, in FP32 on one CPU thread.

    The prompt is cut at the model's text length (77 tokens for ViT-B/32), and a model trained on
    English understands little else.
    """

    def __init__(self, folder: Path) -> None:
        """Load the model.

        Raises:
            OSError, ValueError: the folder is not whole; transformers says what is missing.
        """
        import torch
        from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

        torch.set_num_threads(1)
        self._model = CLIPModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        ).eval()
        self._tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        self._processor = CLIPImageProcessorPil.from_pretrained(folder, local_files_only=True)

    def score(self, picture: Pixels, prompt: str) -> float:
        """Return min(1, 2.5 max(0, cosine)) of picture (h, w, 3) uint8 and prompt."""
        import torch

        length = self._model.config.text_config.max_position_embeddings
        words = self._tokenizer(prompt, truncation=True, max_length=length, return_tensors="pt")
        pixels = self._processor(picture, input_data_format="channels_last", return_tensors="pt")
        with torch.inference_mode():
            found = self._model(**words, **pixels)
            cosine = torch.cosine_similarity(found.image_embeds, found.text_embeds).item()
        return min(1.0, WEIGHT * max(0.0, cosine))
