"""One source, two engines: each kernel is plain Python that numba compiles where it is installed."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt


Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
P = ParamSpec("P")
R = TypeVar("R")
Engine = Literal["auto", "python", "numba"]


def have_numba() -> bool:
    """Tell whether the extra ``fast`` is installed."""
    return importlib.util.find_spec("numba") is not None


def floats(values: npt.ArrayLike) -> Floats:
    """Make them a contiguous float array."""
    return np.ascontiguousarray(values, dtype=np.float64)


def integers(values: npt.ArrayLike) -> Integers:
    """Make them a contiguous int array."""
    return np.ascontiguousarray(values, dtype=np.int64)


def order_of(keys: Integers) -> Integers:
    """Indices that sort small whole numbers, equal ones in their order.

    Of 16 bits numpy sorts by radix, in a tenth of the time.
    """
    small = len(keys) == 0 or int(keys.max()) < np.iinfo(np.int16).max
    return integers(np.argsort(keys.astype(np.int16) if small else keys, kind="stable"))


def run(kernel: Callable[..., int], *arguments: Any, engine: Engine = "auto") -> int:
    """Run a kernel that writes into the arrays it is given; it returns a count.

    Compiled it works on the arrays; else on lists in their place, which plain Python reads several
    times faster, and which are copied back where the array may be written to. Both engines do the
    same arithmetic in the same order.
    """
    if engine == "numba" or (engine == "auto" and have_numba()):
        return int(_compiled(kernel)(*arguments))
    lists = [_listed(one) for one in arguments]
    count = kernel(*lists)
    for array, values in zip(arguments, lists, strict=True):
        _fill(array, values)
    return count


def _listed(argument: Any) -> Any:
    if isinstance(argument, tuple):
        return tuple(_listed(one) for one in argument)
    return argument.tolist() if isinstance(argument, np.ndarray) else argument


def _fill(array: Any, values: Any) -> None:
    if isinstance(array, tuple):
        for inner, found in zip(array, values, strict=True):
            _fill(inner, found)
    elif isinstance(array, np.ndarray) and array.flags.writeable:
        array[...] = values


@functools.cache
def _compiled(kernel: Callable[..., int]) -> Callable[..., int]:
    import numba

    _register()
    compiled: Callable[..., int] = numba.njit(cache=True, nogil=True)(kernel)
    return compiled


_PARTS: list[Callable[..., Any]] = []


def part(function: Callable[P, R]) -> Callable[P, R]:
    """Let kernels call this function when they are compiled; plain Python calls it as it is."""
    _PARTS.append(function)
    return function


@functools.cache
def _register() -> None:
    from numba.extending import register_jitable

    for function in _PARTS:
        register_jitable(function)


def need_one(servers: int) -> None:
    """Refuse a fleet of none.

    Raises:
        ValueError: fewer than one.
    """
    if servers < 1:
        raise ValueError(f"{servers} GPUs are asked for; at least one is needed")


def need_equal(arrivals: Floats, services: Floats) -> None:
    """Refuse requests of which one of both is missing.

    Raises:
        ValueError: their numbers differ.
    """
    if len(arrivals) != len(services):
        raise ValueError(
            f"{len(arrivals)} arrivals and {len(services)} services; one of each is needed"
        )
