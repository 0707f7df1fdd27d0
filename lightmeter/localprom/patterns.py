r"""Regular expressions of PromQL for Python's engine.

Prometheus uses RE2 (https://github.com/google/re2/wiki/Syntax), Python its own. The parser has
refused what RE2 lacks; what Python lacks or reads in another way (``\pL``, ``[[:alpha:]]``,
``\Q``, ``\z``, ``\C``, flags within) is refused here by name, never matched wrongly.

Python's engine goes back and tries again, on ``(a+)+`` for ever, and holds up everything else
meanwhile. So only what is plainly harmless is given to it, and all else to RE2, which Arrow brings
along: it takes time in proportion to the text, and 30 MiB and a tenth of a second once.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import promql_parser

from lightmeter.errors import QueryError


_STRANGE = re.compile(r"\\[pPQEzCx]|\[\[:|\[\[|&&|--|~~|(?<=.)\(\?[a-zA-Z]*[imsU]|\(\?[a-zA-Z]*U|[*+?}]\+|\\[0-9]")  # fmt: skip


_SIGN = re.compile(r"[*+?{]")
_REPEATED = re.compile(r"\)[*+?{]")
_GROUP = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})", re.ASCII)
_SHORT, _FEW, _MOST_GROUPS, _LONGEST = 200, 2, 9, 65_536


def gentle(pattern: str) -> bool:
    """Say whether a pattern can be given to Python: at worst it takes the square of the text's length."""
    signs, groups = len(_SIGN.findall(pattern)), pattern.count("(")
    if _REPEATED.search(pattern):
        return False
    return signs + groups <= 1 or (len(pattern) <= _SHORT and signs <= _FEW and groups <= _FEW)


@dataclass(frozen=True)
class Pattern:
    """A regular expression for whole texts; ``expression`` is Python's, ``anchored`` RE2's."""

    expression: re.Pattern[str]
    anchored: str
    gentle: bool

    def matches(self, text: str) -> bool:
        """Say whether it is the whole text."""
        return self.expression.fullmatch(text) is not None if self.gentle else _re2(self.anchored, text)  # fmt: skip

    def expanded(self, template: str, text: str) -> str | None:
        """Fill ``$1``, ``${1}`` and ``$name`` in as Go does (an unknown group is empty); None where it does not match."""
        if self.gentle:
            found = self.expression.fullmatch(text)
            return found and found.expand(self._rewritten(template, r"\g<{}>"))
        rewrite = self._rewritten(template, r"\{}")
        return _replaced(self.anchored, rewrite, text) if self.matches(text) else None

    def _rewritten(self, template: str, form: str) -> str:
        """Write a template of Go's as an engine wants it, which has a ``form`` for groups."""

        def group(reference: re.Match[str]) -> str:
            name = reference[1] or reference[2]
            if name is None:
                return "$"
            place = int(name[:9]) if name.isdecimal() else self.expression.groupindex.get(name)
            if place is None or place > self.expression.groups:
                return ""
            if place > _MOST_GROUPS:
                raise QueryError(f"template {template[:100]!r} names a group beyond the ninth; use --prometheus for it")  # fmt: skip
            return form.format(place)

        return _GROUP.sub(group, template.replace("\\", "\\\\"))


@functools.lru_cache(maxsize=128)
def compiled(pattern: str, *, dotall: bool = True) -> Pattern:
    """Compile a pattern; ``dotall`` as Prometheus 3 has it.

    Raises:
        QueryError: it is no regular expression, or one that would be read in another way here.
    """
    if len(pattern) > _LONGEST:
        raise QueryError(f"regular expression of {len(pattern)} characters; {_LONGEST} are allowed")
    strange = _STRANGE.search(pattern)
    if strange:
        raise QueryError(f"regular expression {pattern!r}: {strange.group()!r} is not supported here; write it another way, or use --prometheus")  # fmt: skip
    try:
        quoted = pattern.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        promql_parser.parse(f'x{{a=~"{quoted}"}}')
        expression = re.compile(pattern, re.ASCII | (re.DOTALL if dotall else 0))
    except (ValueError, RecursionError, OverflowError, re.error) as error:
        raise QueryError(f"regular expression {pattern!r} cannot be read: {error}") from error
    return Pattern(expression, f"^(?{'s' if dotall else ''}:{pattern})$", gentle(pattern))


@functools.lru_cache(maxsize=65_536)
def _re2(anchored: str, text: str) -> bool:
    """Match with RE2.

    Raises:
        QueryError: it would take too much memory.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return bool(pc.match_substring_regex(pa.scalar(text), anchored).as_py())
    except pa.ArrowInvalid as error:
        raise QueryError(f"regular expression {anchored[:100]!r} cannot be used: {error}") from error  # fmt: skip


def _replaced(anchored: str, rewrite: str, text: str) -> str:
    import pyarrow as pa
    import pyarrow.compute as pc

    return str(pc.replace_substring_regex(pa.scalar(text), anchored, rewrite).as_py())
