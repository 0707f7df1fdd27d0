r"""Regular expressions of PromQL for Python's engine.

Prometheus uses RE2 (https://github.com/google/re2/wiki/Syntax), Python its own. The parser has
refused what RE2 lacks; what Python lacks or reads in another way (``\pL``, ``[[:alpha:]]``,
``\Q``, ``\z``, ``\C``, flags within) is refused here by name, never matched wrongly.
"""

from __future__ import annotations

import functools
import re

import promql_parser

from lightmeter.errors import QueryError


_STRANGE = re.compile(r"\\[pPQEzCx]|\[\[:|\[\[|&&|--|~~|(?<=.)\(\?[a-zA-Z]*[imsU]|\(\?[a-zA-Z]*U|[*+?}]\+|\\[0-9]")  # fmt: skip


@functools.lru_cache(maxsize=1024)
def compiled(pattern: str, *, dotall: bool = True) -> re.Pattern[str]:
    """Compile a pattern for ``fullmatch``; ``dotall`` as Prometheus 3 has it.

    Raises:
        QueryError: it is no regular expression, or one that would be read in another way here.
    """
    strange = _STRANGE.search(pattern)
    if strange:
        raise QueryError(f"regular expression {pattern!r}: {strange.group()!r} is not supported here; write it another way, or use --prometheus")  # fmt: skip
    try:
        quoted = pattern.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        promql_parser.parse(f'x{{a=~"{quoted}"}}')
        return re.compile(pattern, re.ASCII | (re.DOTALL if dotall else 0))
    except (ValueError, re.error) as error:
        raise QueryError(f"regular expression {pattern!r} cannot be read: {error}") from error
