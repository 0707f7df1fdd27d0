"""What ``lightmeter up`` does when a part ends that it can do without."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lightmeter.cli.child import Child
from lightmeter.errors import InputError


MOST_TIMES = 3
"""How often a part is started again: one that ends a fourth time would end a fifth."""


class Reviver:
    """Says when a part has ended, and starts it again.

    Parts that have ended before the first look are left alone: whoever started them has said so.
    """

    def __init__(self, parts: Mapping[str, Child], tell: Callable[[str], None]) -> None:
        self._parts = {name: part for name, part in parts.items() if not part.ended}
        self._times = dict.fromkeys(parts, 0)
        self._tell = tell

    def look(self) -> None:
        """Look once at each part."""
        for name, part in [(name, part) for name, part in self._parts.items() if part.ended]:
            self._tell(f"{name} {part.how}; {self._again(name, part)}; its log is {part.log}")

    def _again(self, name: str, part: Child) -> str:
        """Start a part again if that may help, and say what was done."""
        if self._times[name] == MOST_TIMES:
            del self._parts[name]
            return (
                f"it was started again {MOST_TIMES} times and is now left alone, the rest goes on"
            )
        try:
            part.again()
        except InputError as error:
            del self._parts[name]
            return f"it cannot be started again ({error}), the rest goes on"
        self._times[name] += 1
        return "it is started again"
