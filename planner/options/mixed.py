"""Dedicated GPUs of the cheapest type, and GPUs cut into isolated slices. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightmeter.replay import Floats, Integers
from lightmeter.units import SECONDS_PER_HOUR
from planner.certainty import Draws
from planner.demand import Demand
from planner.mixing import mix
from planner.options.base import Option, OptionKind, Placement, Sharing, Terms, judged, p95
from planner.options.groups import Yard
from planner.options.rented import alone, size_own
from planner.prices import Price


MOST_SLICES = 16
"""Slices of one profile that a service may have; one that needs more gets GPUs of its own."""


@dataclass(frozen=True)
class Seat:
    """What one service has: so many GPUs, or slices of GPUs, of a type; ``part`` of a GPU each."""

    service: int
    kind: int
    count: int
    slice: str = ""
    part: float = 1.0
    """Speed of a slice over that of its GPU."""
    fit: int = 1
    """Slices on a GPU."""


@dataclass(frozen=True)
class Profile:
    """A MIG profile: its shares of a GPU's memory and multiprocessors, and how many a GPU holds."""

    slices: str
    memory: float
    speed: float
    fit: int


# https://docs.nvidia.com/datacenter/tesla/mig-user-guide/supported-mig-profiles.html, read 2026-11
SEVENTHS = (
    Profile("1g", 1 / 8, 1 / 7, 7),
    Profile("1g", 1 / 4, 1 / 7, 4),
    Profile("2g", 1 / 4, 2 / 7, 3),
    Profile("3g", 1 / 2, 3 / 7, 2),
)
QUARTERS = (Profile("1g", 1 / 4, 1 / 4, 4), Profile("2g", 1 / 2, 1 / 2, 2))
MIG = {"A100": SEVENTHS, "H100": SEVENTHS, "H200": SEVENTHS, "H20": SEVENTHS, "A30": QUARTERS}


def profiles(price: Price) -> tuple[Profile, ...]:
    """MIG profiles of a GPU type; none where it cannot be cut."""
    return MIG.get(price.gpu.replace(" ", "-").partition("-")[0], ())


def mixed(demand: Demand, draws: Draws, terms: Terms) -> list[Option]:
    """Give each service GPUs of its own, of the type that serves it at the least price."""
    if not terms.others:
        return []
    yard = Yard(demand, draws, terms, 0.0)
    sized, _ = size_own(demand, draws, terms)
    seats = []
    for service, count in enumerate(sized.tolist()):
        tries = [Seat(service, 0, count)]
        tries += [seat for kind in range(1, len(yard.types)) for seat in _own(yard, service, kind)]
        seats.append(min(tries, key=lambda seat: seat.count * _worth(yard, seat.kind)))
    if all(seat.kind == 0 for seat in seats):
        return []
    counts = _counts(yard, [(seat.kind, seat.count) for seat in seats])
    return [_option(yard, OptionKind.DEDICATED, seats, counts)]


def _worth(yard: Yard, kind: int) -> float:
    return float(yard.types[kind].price_per_gpu_hour / yard.types[0].price_per_gpu_hour)


def _counts(yard: Yard, gpus: list[tuple[int, int]]) -> Integers:
    found = np.zeros(len(yard.types), dtype=np.int64)
    for kind, count in gpus:
        found[kind] += count
    return found


def _own(yard: Yard, service: int, kind: int) -> list[Seat]:
    vram = yard.vram(service)
    if vram is not None and vram > yard.types[kind].vram_bytes:
        return []
    count = _fewest(yard, service, yard.speed(kind, service))
    return [] if count is None else [Seat(service, kind, count)]


def _fewest(yard: Yard, service: int, speed: float) -> int | None:
    """Fewest GPUs or slices of this speed with which a service keeps its objective."""
    rows = yard.demand.rows(service)
    load = float(yard.demand.seconds[rows].sum()) / yard.demand.span_seconds / speed
    for count in range(max(1, int(np.ceil(load))), MOST_SLICES + 1):
        if yard.kept(rows, alone(yard.demand, rows, count, speed)):
            return count
    return None


def sliced(demand: Demand, draws: Draws, terms: Terms) -> list[Option]:
    """Cut GPUs into MIG slices, all of a GPU alike, and give each service some of its own.

    Which profile a service takes is Mélange's program: slices on GPUs, at the least price.
    """
    yard = Yard(demand, draws, terms, 0.0)
    cuts = [(kind, one) for kind, price in enumerate(yard.types) for one in profiles(price)]
    if not cuts:
        return []
    sized, _ = size_own(demand, draws, terms)
    seats = {service: _slices(yard, service, cuts) for service in range(len(sized))}
    able = [service for service, found in seats.items() if any(found)]
    if not able:
        return []
    load = np.array(
        [[np.inf if seat is None else seat.count / seat.fit for seat in seats[one]] for one in able]
    )
    price = np.array([_worth(yard, kind) for kind, _ in cuts])
    chosen = mix(load, price)
    taken = [seats[one][int(cut)] for one, cut in zip(able, chosen.kind, strict=True)]
    rest = [Seat(one, 0, int(sized[one])) for one in range(len(sized)) if one not in set(able)]
    gpus = [(kind, int(count)) for (kind, _), count in zip(cuts, chosen.gpus, strict=True)]
    counts = _counts(yard, [*gpus, *((seat.kind, seat.count) for seat in rest)])
    return [_option(yard, OptionKind.SHARED, [*(seat for seat in taken if seat), *rest], counts)]


def _slices(yard: Yard, service: int, cuts: list[tuple[int, Profile]]) -> list[Seat | None]:
    vram = yard.vram(service)
    if vram is None or not yard.terms.of(service).share:
        return [None] * len(cuts)
    found: list[Seat | None] = []
    for kind, profile in cuts:
        room = yard.types[kind].vram_bytes * profile.memory * (1 - yard.terms.headroom)
        speed = yard.speed(kind, service) * profile.speed
        count = _fewest(yard, service, speed) if vram <= room else None
        name = f"{profile.slices}.{yard.types[kind].vram_gib * profile.memory:.0f}gb"
        found.append(
            None
            if count is None
            else Seat(service, kind, count, slice=name, part=profile.speed, fit=profile.fit)
        )
    return found


def _waits(yard: Yard, seats: list[Seat], demand: Demand) -> Floats:
    waits = np.empty(len(demand.arrivals))
    for seat in seats:
        rows = demand.rows(seat.service)
        speed = yard.speed(seat.kind, seat.service) * seat.part
        waits[rows] = alone(demand, rows, seat.count, speed)
    return waits


def _option(yard: Yard, kind: OptionKind, seats: list[Seat], counts: Integers) -> Option:
    demand, terms = yard.demand, yard.terms
    worth = float(sum(count * _worth(yard, k) for k, count in enumerate(counts.tolist())))
    hours = yard.draws.lengths / SECONDS_PER_HOUR
    waits = _waits(yard, seats, demand)
    cut = kind is OptionKind.SHARED

    def again(other: Demand, changed: Terms) -> Floats:
        return _waits(Yard(other, yard.draws, changed, 0.0), seats, other)

    option = Option(
        kind,
        int(counts.sum()),
        tuple(_placement(yard, seat, waits) for seat in seats),
        waits=waits,
        billed=worth * (1 - terms.discount) * hours,
        held=int(counts.sum()) * hours,
        name="GPUs cut into MIG slices"
        if cut
        else "dedicated GPUs, each service on the cheapest type",
        sharing=Sharing.MIG if cut else Sharing.NONE,
        facts=_facts(cut=cut),
        again=again,
    )
    return judged(option, demand, yard.draws, terms)


def _placement(yard: Yard, seat: Seat, waits: Floats) -> Placement:
    rows = yard.demand.rows(seat.service)
    return Placement(
        (yard.demand.services[seat.service],),
        seat.count,
        p95(waits[rows]),
        sku=yard.types[seat.kind].sku if seat.kind else "",
        slice=seat.slice,
    )


def _facts(*, cut: bool) -> tuple[tuple[str, float | str, str], ...]:
    slower = ("wait of a request", "includes what a slower GPU or slice takes longer", "it is slower there, not later")  # fmt: skip
    if not cut:
        return (slower, ("speed of other GPUs over the one in the history", "by service", "measured where the services file has it, else the ratio of their peaks"))  # fmt: skip
    return (
        slower,
        ("speed of a slice", "its share of the multiprocessors", "NVIDIA's MIG user guide; a slice isolates, so there is no interference"),
        ("GPUs in a placement", "count slices", "each GPU is cut into slices of one profile"),
    )  # fmt: skip
