"""The part of Go's templates that annotations use: values, pipes, ``if``, ``with``, ``else``. Pure.

Functions are those of https://prometheus.io/docs/prometheus/latest/configuration/template_reference/
that need no query. What is not known is refused by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lightmeter.errors import RuleError
from lightmeter.localprom.aggregate import number


_ACTION = re.compile(r"\{\{(-?)\s*(.*?)\s*(-?)\}\}", re.DOTALL)
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`|\||[^\s|]+')
_PERCENT = 100
_KILO = 1000
_KIBI = 1024
_DIGITS = 4


@dataclass(frozen=True)
class Scope:
    """What a template may name: ``$labels``, ``$value``, ``$externalLabels`` and the dot."""

    labels: Mapping[str, str]
    value: float
    dot: Any = None


def shortened(value: float) -> str:
    """Write a number with four digits, as ``%.4g`` does in Go."""
    if not math.isfinite(value):
        return number(value)
    text = f"{value:.{_DIGITS}g}"
    return re.sub(r"e([+-])(\d)$", r"e\g<1>0\2", text)


def humanize(value: float) -> str:
    """Write 1234567 as ``1.235M``."""
    if value == 0 or not math.isfinite(value):
        return shortened(value)
    prefix = ""
    if abs(value) >= 1:
        for name in "kMGTPEZY":
            if abs(value) < _KILO:
                break
            prefix, value = name, value / _KILO
    else:
        for name in "munpfazy":
            if abs(value) >= 1:
                break
            prefix, value = name, value * _KILO
    return shortened(value) + prefix


def humanize1024(value: float) -> str:
    """Write 1048576 as ``1Mi``."""
    prefix = ""
    if math.isfinite(value):
        for name in ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"):
            if abs(value) < _KIBI:
                break
            prefix, value = name, value / _KIBI
    return shortened(value) + prefix


def humanize_percentage(value: float) -> str:
    """Write 0.123 as ``12.3%``."""
    return shortened(value * _PERCENT) + "%"


def humanize_duration(value: float) -> str:
    """Write 3725 as ``1h 2m 5s``."""
    if not math.isfinite(value):
        return shortened(value)
    if abs(value) < 1:
        return humanize(value) + "s"
    sign, whole = "-" if value < 0 else "", int(abs(value))
    days, hours, minutes, seconds = whole // 86_400, whole // 3600 % 24, whole // 60 % 60, whole % 60  # fmt: skip
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{sign}{shortened(abs(value))}s"


def humanize_timestamp(value: float) -> str:
    """Write Unix seconds as a date in UTC, as Go prints one."""
    try:
        moment = datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):  # not a number, or beyond the year 9999
        return shortened(value)
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}".rstrip("0").rstrip(".") + " +0000 UTC"


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "humanize": lambda value: humanize(_float(value)),
    "humanize1024": lambda value: humanize1024(_float(value)),
    "humanizePercentage": lambda value: humanize_percentage(_float(value)),
    "humanizeDuration": lambda value: humanize_duration(_float(value)),
    "humanizeTimestamp": lambda value: humanize_timestamp(_float(value)),
    "printf": lambda pattern, *values: _printed(str(pattern), values),
    "toUpper": lambda text: str(text).upper(),
    "toLower": lambda text: str(text).lower(),
    "title": lambda text: str(text).title(),
}
_VERB = re.compile(r"%[-+ 0#]*\d*(?:\.\d+)?[sdfgeqvx%]")


def _printed(pattern: str, values: tuple[Any, ...]) -> str:
    rest = list(values)

    def verb(found: re.Match[str]) -> str:
        text = found.group()
        if text.endswith("%"):
            return "%"
        if not rest:
            raise RuleError(f"template printf {pattern!r} has too few values")
        value = rest.pop(0)
        if text[-1] == "v":
            return _shown(value)
        if text[-1] == "q":
            return f'"{value}"'
        return text % (str(value) if text[-1] == "s" else _float(value))

    return _VERB.sub(verb, pattern)


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise RuleError(f"template wants a number, not {value!r}") from error


def _shown(value: Any) -> str:
    if isinstance(value, float):
        large = value != 0 and not 1e-4 <= abs(value) < 1e21  # noqa: PLR2004 (where Go's %v begins to write exponents)
        return repr(value) if large and math.isfinite(value) else number(value)
    return "" if value is None else str(value)


def expand(template: str, scope: Scope) -> str:
    """Fill in a template.

    Raises:
        RuleError: it is broken, or uses what is not known here.
    """
    pieces = _pieces(template)
    text, at = _block(pieces, 0, scope, shown=True)
    if at < len(pieces):
        raise RuleError(f"template {template!r} has an {{{{ {pieces[at][1]} }}}} too many")
    return text


def _pieces(template: str) -> list[tuple[bool, str]]:
    """Cut into (is an action, text)."""
    found: list[tuple[bool, str]] = []
    at, trim = 0, False
    for action in _ACTION.finditer(template):
        text = template[at : action.start()]
        text = text.lstrip() if trim else text
        found += [(False, text.rstrip() if action[1] else text), (True, action[2])]
        at, trim = action.end(), bool(action[3])
    rest = template[at:]
    return [*found, (False, rest.lstrip() if trim else rest)]


def _block(pieces: list[tuple[bool, str]], at: int, scope: Scope, *, shown: bool) -> tuple[str, int]:  # fmt: skip
    """Write pieces until an ``else`` or ``end`` that is not theirs; return also its place."""
    text = ""
    while at < len(pieces):
        action, piece = pieces[at]
        word = piece.partition(" ")[0]
        if not action:
            text += piece
        elif word in ("else", "end"):
            break
        elif word in ("if", "with"):
            part, at = _choice(pieces, at, scope, shown=shown)
            text += part
        elif shown and not piece.startswith("/*"):
            text += _shown(_pipe(piece, scope))
        at += 1
    return text, at


def _choice(pieces: list[tuple[bool, str]], at: int, scope: Scope, *, shown: bool) -> tuple[str, int]:  # fmt: skip
    word, _, condition = pieces[at][1].partition(" ")
    value = _pipe(condition, scope) if shown else None
    yes = bool(value) and value == value  # noqa: PLR0124 (NaN is not itself)
    inner = Scope(scope.labels, scope.value, value) if word == "with" and yes else scope
    text, at = _block(pieces, at + 1, inner, shown=shown and yes)
    other = ""
    if at < len(pieces) and pieces[at][1] == "else":
        other, at = _block(pieces, at + 1, scope, shown=shown and not yes)
    if at >= len(pieces) or pieces[at][1] != "end":
        raise RuleError(f"template's {{{{ {word} {condition} }}}} has no end")
    return (text if yes else other), at


def _pipe(text: str, scope: Scope) -> Any:
    words = _WORD.findall(text)
    value: list[Any] = []
    while True:
        end = words.index("|") if "|" in words else len(words)
        value = [_command(words[:end], value, scope)]
        if end == len(words):
            return value[0]
        words = words[end + 1 :]


def _command(words: list[str], piped: list[Any], scope: Scope) -> Any:
    if not words:
        raise RuleError("template has an empty {{ }}")
    if words[0] in _FUNCTIONS:
        arguments = [_value(word, scope) for word in words[1:]] + piped
        try:
            return _FUNCTIONS[words[0]](*arguments)
        except TypeError as error:
            raise RuleError(f"template function {words[0]!r} does not take {len(arguments)} values") from error  # fmt: skip
    if len(words) > 1 or piped:
        raise RuleError(f"template function {words[0]!r} is not known here")
    return _value(words[0], scope)


def _value(word: str, scope: Scope) -> Any:
    if word[0] in '"`':
        return re.sub(r"\\(.)", r"\1", word[1:-1]) if word[0] == '"' else word[1:-1]
    if word in (".", "$value", ".Value"):
        return scope.dot if word == "." else scope.value
    for prefix in ("$labels.", ".Labels."):
        if word.startswith(prefix):
            return scope.labels.get(word.removeprefix(prefix), "")
    if word.startswith("$externalLabels."):
        return ""
    try:
        return float(word)
    except ValueError as error:
        raise RuleError(f"template word {word!r} is not known here") from error
