"""How many GPUs of each type for slices of load: the program of Mélange. Pure.

https://arxiv.org/abs/2404.14527, section 5.3; a slice's load may lie across several GPUs of its
type, so the price is also a lower bound for `planner.packing`. Solved by HiGHS through scipy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightmeter.replay import Floats, Integers
from planner.packing import EPSILON, SECONDS


@dataclass(frozen=True)
class Mix:
    """GPUs of each type, (types,), the type of each slice, (n,), the price and its lower bound."""

    gpus: Integers
    kind: Integers
    cost: float
    bound: float


def mix(load: Floats, price: Floats) -> Mix:
    """Choose a type for each slice of load and count the GPUs: Σ load on a type ≤ its GPUs.

    ``load`` (n, types) is in GPUs of the type, inf where it cannot run there.

    Raises:
        ValueError: a slice fits on no type.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import block_array, coo_array, eye_array

    n, types = load.shape
    finite = np.isfinite(load)
    if not finite.any(axis=1).all():
        raise ValueError(f"slice {int(np.flatnonzero(~finite.any(axis=1))[0])} fits on no GPU")
    flat = np.arange(n * types)
    once = coo_array((np.ones(n * types), (flat // types, flat)), shape=(n, n * types))
    spent = np.where(finite, load, 0.0).ravel()
    used = coo_array((spent, (flat % types, flat)), shape=(types, n * types))
    matrix = block_array([[once, None], [used, -eye_array(types)]]).tocsc()
    found = milp(
        np.concatenate([np.zeros(n * types), price]),
        constraints=LinearConstraint(
            matrix,
            np.concatenate([np.ones(n), np.full(types, -np.inf)]),
            np.concatenate([np.ones(n), np.full(types, EPSILON)]),
        ),
        integrality=np.ones(n * types + types),
        bounds=Bounds(0, np.concatenate([finite.ravel().astype(float), np.full(types, np.inf)])),
        options={"time_limit": SECONDS},
    )
    if found.x is None:  # nothing found in time: each to where it is cheapest
        kind = np.argmin(np.where(finite, load, np.inf) * price, axis=1)
        gpus = np.ceil(
            np.bincount(kind, weights=load[np.arange(n), kind], minlength=types) - EPSILON
        )
        return Mix(gpus.astype(np.int64), kind, float(gpus @ price), 0.0)
    kind = np.argmax(found.x[: n * types].reshape(n, types), axis=1)
    gpus = np.round(found.x[n * types :]).astype(np.int64)
    return Mix(gpus, kind, float(gpus @ price), float(found.mip_dual_bound))
