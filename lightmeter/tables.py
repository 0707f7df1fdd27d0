"""Usage rows as Arrow tables: the schema, and what is refused on the way in."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from lightmeter import rows
from lightmeter.errors import HistoryError


_SIZES = {"feedback": pa.int8(), "peak_vram_bytes": pa.int64()}
_TYPES = (
    {"arrived_at": pa.timestamp("us", tz="UTC")}
    | {name: _SIZES.get(name, pa.int32()) for name in rows.INTEGERS}
    | dict.fromkeys(rows.NUMBERS, pa.float64())
)
SCHEMA = pa.schema(
    [
        pa.field(name, _TYPES.get(name, pa.string()), nullable=name not in rows.REQUIRED)
        for name in rows.COLUMNS
    ]
)


def table_of(usage: Sequence[rows.UsageRow]) -> pa.Table:
    """Turn rows into a table of `SCHEMA`."""
    return pa.Table.from_pylist([vars(row) for row in usage], schema=SCHEMA)


def stars_of(by_request: Mapping[str, int]) -> pa.Table:
    """Turn stars by request id into a table, for `rated`."""
    ids = pa.array(by_request.keys(), pa.string())
    return pa.table({"request_id": ids, "feedback": pa.array(by_request.values(), pa.int8())})


def rated(table: pa.Table, stars: pa.Table) -> pa.Table:
    """Put the stars of `stars_of` into the ``feedback`` column of a table of `SCHEMA`."""
    if not stars.num_rows:
        return table
    place = pc.index_in(table["request_id"], value_set=stars["request_id"])
    late = pc.take(stars["feedback"], place)
    column = SCHEMA.get_field_index("feedback")
    return table.set_column(column, SCHEMA.field(column), pc.coalesce(late, table["feedback"]))


def fitted(table: pa.Table, where: str) -> pa.Table:
    """Cast to `SCHEMA`; columns that the table lacks are unknown, and so are NaN values.

    Raises:
        HistoryError: naming the place, the column and what does not fit.
    """
    names = table.column_names
    columns = [
        _cast(table[field.name], field, where)
        if field.name in names
        else pa.nulls(table.num_rows, field.type)
        for field in SCHEMA
    ]
    return pa.table(columns, schema=SCHEMA)


def _cast(column: pa.ChunkedArray, field: pa.Field, where: str) -> pa.ChunkedArray:
    if (field.name == "arrived_at") != pa.types.is_timestamp(column.type) or pa.types.is_boolean(
        column.type
    ):
        raise HistoryError(
            f"{where}: column {field.name!r} is of type {column.type}, not {field.type}; see docs/history.md"
        )
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    try:
        return column.cast(field.type, safe=field.name != "arrived_at")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise HistoryError(
            f"{where}: column {field.name!r} has a value of the wrong type or size ({reason}); see docs/history.md"
        ) from error


def validated(table: pa.Table, where: str) -> pa.Table:
    """Return the table, or refuse it for an empty id or arrival or an impossible measure.

    Raises:
        HistoryError: naming the place, row, column and value.
    """
    for name in rows.REQUIRED:
        if table[name].null_count:
            raise HistoryError(f"{where}: column {name!r} has empty values; every row needs one")
    _check_arrivals(table["arrived_at"], where)
    for name in rows.MEASURES:
        most = rows.INTEGERS.get(name, sys.float_info.max)
        _refuse(table, pc.or_(pc.less(table[name], 0), pc.greater(table[name], most)), where)
    for name, words in rows.CLOSED.items():
        known = pc.is_in(table[name], value_set=pa.array([*words, None], pa.string()))
        _refuse(table, pc.invert(known), where)
    return table


def _check_arrivals(arrivals: pa.ChunkedArray, where: str) -> None:
    """Refuse instants that no server has seen, before Python is asked to hold them."""
    first, last = (pa.scalar(at, SCHEMA.field("arrived_at").type) for at in rows.ERA)
    strange = pc.or_(pc.less(arrivals, first), pc.greater_equal(arrivals, last))
    if pc.any(strange).as_py():
        row = pc.index(strange, value=True).as_py() + 1
        raise HistoryError(f"{where} row {row}: arrived_at does not lie {rows.ERA_IN_WORDS}")


def _refuse(table: pa.Table, bad: pa.ChunkedArray, where: str) -> None:
    """Refuse the first row that the mask marks, in the words of `rows.check`."""
    if pc.any(bad).as_py():
        index = pc.index(bad, value=True).as_py()
        row = rows.UsageRow(**table.slice(index, 1).to_pylist()[0])
        rows.check(row, f"{where} row {index + 1}")
