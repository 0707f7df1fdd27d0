"""``lightmeter replay``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lightmeter.cli.options import as_json
from lightmeter.errors import InputError, SettingError, nearest


if TYPE_CHECKING:
    from lightmeter.scaling.state import Settings
    from lightmeter.simulate.again import Look

Record = Mapping[str, Any]
FIELDS = {"violation_price": "price", "min": "least", "max": "most"}
"""Settings of the scaler that a decision knows by another name."""
SAME = ("wait", "violation_target", "turn_price", "hold_least", "cold_start", "max_age", "stale_hold", "safe_floor")  # fmt: skip
SHOWN = 20
"""Changes that are listed; --json has all."""


@click.command("replay")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--with", "changes", multiple=True, metavar="KEY=VALUE[,...]", help="Decide under other settings, like wait=20s,violation_price=300, and show what would have been asked for.")  # fmt: skip
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    /,
    file: Path,
    changes: tuple[str, ...],
    as_json: bool,  # noqa: FBT001
) -> None:
    """Decide again, from what each recorded decision had seen, and compare.

    FILE is a file of decisions, or their folder. Exit code 1 where one comes out differently.
    With --with the demand is as recorded, and the replicas are those that would have been asked for.

    \b
    Example:
      lightmeter replay lightmeter-data/scale --with wait=20s,violation_price=300
    """
    from alerts.scale import audit

    if changes:
        _other(file, list(audit.read(file)), _parsed(changes), as_json=as_json)
        return
    total, other = _different(file, audit.read(file))
    if as_json:
        click.echo(json.dumps({"decisions": total, "different": other}, indent=2))
    else:
        for one in other:
            click.echo(
                f"{one['id']}: {one['recorded']} replicas were recorded, {one['again']} come out now"
            )
        click.echo(f"{total} decisions, {len(other)} different")
    ctx.exit(1 if other else 0)


def _different(file: Path, records: Iterable[Record]) -> tuple[int, list[dict[str, Any]]]:
    """Count the decisions, and list those that come out differently, holding one at a time."""
    from lightmeter.scaling.decide import decide
    from lightmeter.scaling.decision import inputs

    total, found = 0, []
    for record in records:
        total += 1
        try:
            again = decide(*inputs(record)).to
            if again != record["to"]:
                found.append({"id": record["id"], "recorded": record["to"], "again": again})
        except (KeyError, TypeError, ValueError) as error:
            raise _lacking(file, record, error) from error
    return total, found


def _lacking(file: Path, record: Record, error: Exception) -> InputError:
    return InputError(
        f"decision {record.get('id')!r} of {str(file)!r} lacks what it was made from: {error}"
    )


def _parsed(changes: tuple[str, ...]) -> dict[str, str]:
    known = [*FIELDS, *SAME]
    found = {}
    for change in ",".join(changes).split(","):
        key, equals, value = change.strip().partition("=")
        if not equals or not value:
            raise SettingError(f"--with {change.strip()!r} is no KEY=VALUE; write it like wait=20s")
        if key not in known:
            raise SettingError(f"--with {key!r} is no setting of a decision; there are {', '.join(known)}{nearest(key, known)}")  # fmt: skip
        found[key] = value
    return found


def _changed(settings: Settings, changes: Mapping[str, str]) -> Settings:
    """Put other values into a decision's settings, checked as those of the scaler are.

    Raises:
        SettingError: a value is out of bounds, or the bounds exclude each other.
    """
    from lightmeter.configuration import Sources, resolve
    from lightmeter.settings_scale import Scale

    base = {"min": settings.least, "max": settings.most}
    scale, _ = resolve(Scale, Sources({}, {}, ""), {**base, **changes})
    if scale.min > scale.max:
        raise SettingError(f"min is {scale.min} and max {scale.max}; min must not be above max")
    return settings._replace(**{FIELDS.get(key, key): getattr(scale, key) for key in changes})


def _other(
    file: Path, records: list[dict[str, Any]], changes: dict[str, str], *, as_json: bool
) -> None:
    from lightmeter.simulate import again

    if not records:
        raise InputError(f"{str(file)!r} has no decisions; let 'lightmeter scale' run first")
    kept: dict[Settings, Settings] = {}

    def change(settings: Settings) -> Settings:
        if settings not in kept:
            kept[settings] = _changed(settings, changes)
        return kept[settings]

    targets: dict[str, list[Record]] = {}
    for record in records:
        targets.setdefault(str(record.get("target")), []).append(record)
    try:
        looks = {target: again.looks(ones, change) for target, ones in targets.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise _lacking(file, records[0], error) from error
    document = {
        "with": changes,
        "targets": [
            {"target": target, **again.summary(found), "changes": [_change(one) for one in _turned(found)]}
            for target, found in looks.items()
        ],
    }  # fmt: skip
    click.echo(json.dumps(document, indent=2) if as_json else "\n".join(_words(document)))


def _turned(found: list[Look]) -> Iterator[Look]:
    """Yield the looks at which one begins or ends to ask for something else than the other."""
    apart = 0
    for one in found:
        if one.other.to - one.as_set.to != apart:
            apart = one.other.to - one.as_set.to
            yield one


def _change(one: Look) -> dict[str, Any]:
    return {
        "at": one.at,
        "id": one.id,
        "standing": one.standing,
        "as_set": one.as_set.to,
        "other": one.other.to,
        "reason": one.other.reason,
    }


def _words(document: Mapping[str, Any]) -> Iterator[str]:
    settings = ", ".join(f"{key}={value}" for key, value in document["with"].items())
    for one in document["targets"]:
        yield f"target {one['target']}: {one['decisions']:,} decisions over {one['hours']:,.1f} h, {one['different']:,} ask for another number"
        yield f"{'':<12} {'gpu_hours':>10} {'operations':>10} {'reversals':>9} {'most':>5}"
        for name, title in (("standing", "standing"), ("as_set", "as set"), ("other", "other")):
            row = one[name]
            yield f"{title:<12} {row['gpu_hours']:>10,.1f} {row['operations']:>10,} {row['reversals']:>9,} {row['most']:>5}"
        yield f"other: {settings}"
        for turn in one["changes"][:SHOWN]:
            at = datetime.fromtimestamp(turn["at"], UTC)
            what = (
                f"{turn['other']} instead of {turn['as_set']}"
                if turn["other"] != turn["as_set"]
                else "as set again"
            )
            yield f"  {at:%Y-%m-%d %H:%M:%S} {what}: {turn['reason']}"
        if len(one["changes"]) > SHOWN:
            yield f"  and {len(one['changes']) - SHOWN:,} changes more; --json has them"
