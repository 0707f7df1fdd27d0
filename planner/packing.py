"""Services on GPUs at the least price: integer programs, and a heuristic with its gap. Pure.

`pack` puts services on GPUs of several types under memory and load, each service on one GPU. The
program is solved by HiGHS (https://highs.dev) through scipy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightmeter.replay import Floats


MOST_EXACT = 25
"""Services up to which the program is solved; more are packed by the heuristic."""
SECONDS = 3.0
"""Longest time for one program; what is best by then is taken, with its gap."""
EPSILON = 1e-9
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Problem:
    """Services and GPU types.

    ``vram`` (n,) and ``room`` (types,) are in bytes; ``load`` (n, types) in GPUs, inf where a
    service cannot run; ``price`` (types,) is that of one GPU; ``cap`` the most load of a GPU that
    several share.
    """

    vram: Floats
    load: Floats
    room: Floats
    price: Floats
    cap: float

    def alone(self, kind: int) -> npt.NDArray[np.bool_]:
        """Mask the services that fit on a GPU of this type by themselves."""
        fits: npt.NDArray[np.bool_] = np.isfinite(self.load[:, kind]) & (
            self.vram <= self.room[kind] + EPSILON
        )
        return fits


Group = tuple[int, tuple[int, ...]]
"""A GPU: its type, and the services on it in ascending order."""
Cut = tuple[int, frozenset[int]]
"""Services that must not be on one GPU of this type all together."""


@dataclass(frozen=True)
class Packing:
    """The GPUs, what they cost, and what no packing can cost less than."""

    groups: tuple[Group, ...]
    cost: float
    bound: float

    @property
    def gap(self) -> float:
        """How far the cost is above the bound, as a share of the cost."""
        return 0.0 if self.cost <= 0 else max(0.0, 1 - self.bound / self.cost)


def pack(problem: Problem, cuts: Sequence[Cut] = ()) -> Packing:
    """Pack exactly up to `MOST_EXACT` services, else by the heuristic.

    Raises:
        ValueError: a service fits on no GPU.
    """
    for service in range(len(problem.vram)):
        if not any(problem.alone(kind)[service] for kind in range(len(problem.room))):
            raise ValueError(f"service {service} fits on no GPU")
    if len(problem.vram) <= MOST_EXACT:
        return _exact(problem, cuts)
    return heuristic(problem, cuts)


def _exact(problem: Problem, cuts: Sequence[Cut]) -> Packing:
    """Solve with a GPU led by each service: it holds its leader and services that come later.

    So no two solutions differ by the numbering of GPUs alone.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    places = _places(problem)
    index = {place: k for k, place in enumerate(places)}
    rows = [
        ({index[place]: 1.0 for place in places if place[2] == service}, 1.0, 1.0)
        for service in range(len(problem.vram))
    ]
    for kind, leader, _ in (place for place in places if place[1] == place[2]):
        own = [place for place in places if place[:2] == (kind, leader)]
        rows += _capacity(problem, own, index)
    rows += list(_cut_rows(cuts, places, index))
    entries = [(r, k, v) for r, (row, _, _) in enumerate(rows) for k, v in row.items()]
    r, k, v = zip(*entries, strict=True)
    matrix = coo_array((v, (r, k)), shape=(len(rows), len(places))).tocsc()
    found = milp(
        [problem.price[kind] if leader == service else 0.0 for kind, leader, service in places],
        constraints=LinearConstraint(matrix, [row[1] for row in rows], [row[2] for row in rows]),
        integrality=np.ones(len(places)),
        bounds=Bounds(0, 1),
        options={"time_limit": SECONDS},
    )
    if found.x is None:  # nothing found in time
        return heuristic(problem, cuts)
    groups: dict[tuple[int, int], list[int]] = {}
    for place, taken in zip(places, found.x > 0.5, strict=True):  # noqa: PLR2004  (a rounded 0 or 1)
        if taken:
            groups.setdefault(place[:2], []).append(place[2])
    packed = tuple((kind, tuple(members)) for (kind, _), members in sorted(groups.items()))
    return Packing(packed, float(found.fun), float(found.mip_dual_bound))


def _places(problem: Problem) -> list[tuple[int, int, int]]:
    """List (type, leader, service) that can be: each fits alone, and the leader comes first."""
    fits = [np.flatnonzero(problem.alone(kind)).tolist() for kind in range(len(problem.room))]
    return [
        (kind, leader, service)
        for kind, able in enumerate(fits)
        for leader in able
        for service in able
        if leader <= service
    ]


def _capacity(
    problem: Problem, own: list[tuple[int, int, int]], index: dict[tuple[int, int, int], int]
) -> list[tuple[dict[int, float], float, float]]:
    """Memory and load of one GPU, and that nobody is on it without its leader."""
    kind, leader, _ = own[0]
    lead = index[kind, leader, leader]
    vram = {index[place]: problem.vram[place[2]] / problem.room[kind] for place in own}
    # a service that loads a GPU beyond the cap may have it alone
    load = {
        index[place]: min(problem.load[place[2], kind], problem.cap) / problem.cap for place in own
    }
    vram[lead] -= 1.0
    load[lead] -= 1.0
    led = [
        ({index[place]: 1.0, lead: -1.0}, -math.inf, 0.0) for place in own if place[1] != place[2]
    ]
    return [(vram, -math.inf, EPSILON), (load, -math.inf, EPSILON), *led]


def _cut_rows(
    cuts: Sequence[Cut], places: list[tuple[int, int, int]], index: dict[tuple[int, int, int], int]
) -> list[tuple[dict[int, float], float, float]]:
    leaders = {(kind, leader) for kind, leader, _ in places}
    return [
        ({index[kind, leader, service]: 1.0 for service in banned}, -math.inf, len(banned) - 1.0)
        for kind, banned in cuts
        for of_kind, leader in leaders
        if of_kind == kind and all((kind, leader, service) in index for service in banned)
    ]


def heuristic(problem: Problem, cuts: Sequence[Cut] = ()) -> Packing:
    """Put the largest services first where they fit, for each type alone and for the best of each.

    The bound is `mix`'s.
    """
    allowed = _allowed(cuts)
    kinds = range(len(problem.room))
    tries = [_first_fit(problem, [kind], allowed) for kind in kinds]
    tries.append(_first_fit(problem, list(kinds), allowed))
    packed = min(
        (one for one in tries if one is not None), key=lambda groups: _cost(problem, groups)
    )
    packed = _cheaper_types(problem, packed, allowed)
    return Packing(tuple(packed), _cost(problem, packed), bound(problem))


def _allowed(cuts: Sequence[Cut]) -> Callable[[int, Sequence[int]], bool]:
    by_member: dict[tuple[int, int], list[frozenset[int]]] = {}
    for kind, banned in cuts:
        for service in banned:
            by_member.setdefault((kind, service), []).append(banned)

    def allowed(kind: int, members: Sequence[int]) -> bool:
        """Tell whether the last member may join the others."""
        return not any(banned <= set(members) for banned in by_member.get((kind, members[-1]), ()))

    return allowed


def _first_fit(
    problem: Problem, kinds: list[int], allowed: Callable[[int, Sequence[int]], bool]
) -> list[Group] | None:
    """First fit decreasing, by the scarcer of memory and load; None where a type does not suffice."""
    shares = np.maximum(
        problem.vram[:, None] / problem.room[kinds], problem.load[:, kinds] / problem.cap
    )
    shares[problem.vram[:, None] > problem.room[kinds] + EPSILON] = np.inf
    costs = shares * problem.price[kinds]
    best = np.argmin(costs, axis=1)
    if not np.isfinite(costs[np.arange(len(best)), best]).all():
        return None
    n = len(best)
    members: list[list[int]] = []
    kind_of, room, load = np.zeros(n, np.int64), np.zeros(n), np.zeros(n)
    for service in np.argsort(-costs[np.arange(n), best], kind="stable").tolist():
        opened = len(members)
        free = np.flatnonzero(
            (room[:opened] + EPSILON >= problem.vram[service])
            & (load[:opened] + EPSILON >= problem.load[service, kind_of[:opened]])
        )
        place = next((int(g) for g in free if allowed(int(kind_of[g]), [*members[g], service])), -1)
        if place < 0:
            place = opened
            members.append([])
            kind_of[place] = kinds[int(best[service])]
            room[place], load[place] = problem.room[kind_of[place]], problem.cap
        members[place].append(service)
        room[place] -= problem.vram[service]
        load[place] -= problem.load[service, kind_of[place]]
    return [(int(kind_of[g]), tuple(sorted(group))) for g, group in enumerate(members)]


def _cheaper_types(
    problem: Problem, groups: list[Group], allowed: Callable[[int, Sequence[int]], bool]
) -> list[Group]:
    """Move each group to the cheapest type that holds it."""
    found = []
    for kind, members in groups:
        own = np.array(members)
        able = [
            other
            for other in range(len(problem.room))
            if problem.vram[own].sum() <= problem.room[other] + EPSILON
            and np.isfinite(problem.load[own, other]).all()
            and (len(own) == 1 or problem.load[own, other].sum() <= problem.cap + EPSILON)
            and all(
                allowed(other, [*members[:last], members[last]]) for last in range(len(members))
            )
        ]
        found.append((min([kind, *able], key=lambda other: problem.price[other]), members))
    return found


def _cost(problem: Problem, groups: Sequence[Group]) -> float:
    return float(sum(problem.price[kind] for kind, _ in groups))


def bound(problem: Problem) -> float:
    """What no packing costs less than: each service pays its share of memory or load, the larger.

    Of several types with different ratios that is no less than either, and needs no program: a GPU
    of price p is full when its shares of memory sum to 1, and when its shares of load do; so the
    price is at least that of either sum, whichever weight is given to each.
    """
    able = np.stack([problem.alone(kind) for kind in range(len(problem.room))], axis=1)
    memory = problem.vram[:, None] / problem.room
    load = np.where(able, np.minimum(problem.load, problem.cap) / problem.cap, 0.0)
    found = 0.0
    for weight in WEIGHTS:
        shares = np.where(able, weight * memory + (1 - weight) * load, np.inf)
        found = max(found, float((shares * problem.price).min(axis=1).sum()))
    if len(problem.price) == 1:  # whole GPUs
        found = math.ceil(found / problem.price[0] - EPSILON) * float(problem.price[0])
    return found
