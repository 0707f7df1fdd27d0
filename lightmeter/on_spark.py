"""The query of `lightmeter.aggregate` on Spark, for histories that one machine does not sum.

pyspark is no dependency: it comes with the cluster, or with ``pip install pyspark``, and
wants Java. The folder may be any that Spark reads, in object storage too.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from lightmeter import aggregate, rows
from lightmeter.errors import HistoryError


def cells(folder: Path | str, *, since: datetime | None = None, until: datetime | None = None) -> pa.Table:  # fmt: skip
    """Sum the sealed rows of a history folder with Spark: cells of `aggregate.SCHEMA`.

    Raises:
        HistoryError: pyspark or Java is missing, or Spark cannot read the folder.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise HistoryError("--engine spark wants pyspark; pip install pyspark, or leave --engine out") from error  # fmt: skip
    try:
        spark = SparkSession.builder.appName("lightmeter").config("spark.sql.session.timeZone", "UTC").config("spark.ui.enabled", "false").config("spark.log.level", "ERROR").getOrCreate()  # fmt: skip
        view = spark.read.option("mergeSchema", "true").parquet(str(folder))
        view.selectExpr(*_columns(view.columns)).where(_within(since, until)).createOrReplaceTempView("usage")  # fmt: skip
        found = spark.sql(aggregate.QUERY).collect()
    except (PySparkException, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise HistoryError(f"Spark cannot sum {str(folder)!r}: {reason}") from error
    return pa.Table.from_pylist([row.asDict() for row in found], schema=aggregate.SCHEMA)


def _columns(known: list[str]) -> list[str]:
    """Say in Spark's SQL what the query reads; a column that no file has is unknown."""
    numbers = dict.fromkeys(rows.NUMBERS, "double") | dict.fromkeys(rows.INTEGERS, "bigint")
    others = (name for name in aggregate.READS if name != "arrived_us")
    return [
        "unix_micros(arrived_at) as arrived_us",
        *(
            f"nanvl({name}, null) as {name}" if name in known and name in rows.NUMBERS
            else name if name in known
            else f"cast(null as {numbers.get(name, 'string')}) as {name}"
            for name in others
        ),
    ]  # fmt: skip


def _within(since: datetime | None, until: datetime | None) -> Any:
    bounds = [f"arrived_us >= {int(since.timestamp() * 1e6)}"] if since else []
    bounds += [f"arrived_us < {int(until.timestamp() * 1e6)}"] if until else []
    return " and ".join(bounds) or "true"
