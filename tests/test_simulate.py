"""``lightmeter simulate`` as a command."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lightmeter.cli.simulate_ import DEFAULT
from support import gentd26, rows
from support.cli import lightmeter


def test_trace(tmp_path: Path) -> None:
    """A trace file is replayed under every policy, and the table has the contract's columns."""
    trace = gentd26.write(tmp_path / "log.csv.gz", gentd26.log(requests=400, days=2.0))
    ran = lightmeter("simulate", "--trace", trace, "--policy", DEFAULT + ",static:2", "--json", cwd=tmp_path)  # fmt: skip

    assert (0, "") == (ran.code, ran.err)
    found = {row["policy"]: row for row in json.loads(ran.out)}
    assert [*DEFAULT.split(","), "static:2"] == list(found)
    contract = {"policy", "gpu_hours", "violations", "violation_ratio", "wait_p95_seconds", "reversals", "operations"}  # fmt: skip
    assert all(contract <= row.keys() for row in found.values())
    assert 0 == found["oracle"]["violations"] == found["static:2"]["operations"]
    assert found["recommended"]["cost_gpu_hours"] < found["static:2"]["cost_gpu_hours"]
    assert 0.0 == found["oracle"]["regret_ratio"]


def test_history(tmp_path: Path) -> None:
    """A usage history is replayed as well, and a table of words says what came of it."""
    rows.folder(tmp_path / "history", rows.every(60.0, 90))
    options = ("--policy", "recommended,static:0", "--service-seconds", "5", "--warm-up", "5m")
    ran = lightmeter("simulate", "--trace", "history", *options, cwd=tmp_path)

    assert (0, "") == (ran.code, ran.err)
    head, recommended, nobody, said = ran.out.splitlines()
    assert "Too few days" in said
    assert head.split()[:3] == ["policy", "gpu_hours", "violations"]
    assert recommended.split()[0] == "recommended"
    assert "never" in nobody
    assert "100.00%" in nobody


def test_short_history(tmp_path: Path) -> None:
    """A history of some seconds is played and not compared: no percentage, but how much it takes."""
    rows.folder(tmp_path / "history", rows.every(2.0, 3))
    command = ("simulate", "--trace", "history", "--policy", "recommended,hpa,oracle")
    ran, programs = lightmeter(*command, cwd=tmp_path), lightmeter(*command, "--json", cwd=tmp_path)
    words = "The history covers 4.0 s, too short to compare policies: that takes 1.0 h at least, and 3 days to say how sure a difference is."  # fmt: skip

    assert (0, words) == (ran.code, ran.out.splitlines()[-1])
    assert [["-"]] * 3 == [line.split()[-1:] for line in ran.out.splitlines()[1:-1]]
    assert f"note: {words}\n" == programs.err
    assert [None] * 3 == [row["regret_ratio"] for row in json.loads(programs.out)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--policy", "recomended"), "no policy 'recomended'"),
        (("--policy", "static:9"), "policy 'static:9' needs a number of replicas, 0 to the maximum of 8"),
        (("--min", "5", "--max", "3"), "--min 5 is above --max 3"),
        (("--cold-start", "soon"), "soon"),
        (("--trace", "nowhere"), "does not exist"),
        (("--policy", ","), "--policy names none"),
        (("--split", "2031-01-01"), "leaves nothing on one side; the trace goes from"),
        (("--split", "soon"), "'soon' is no date"),
        (("--split", "1m", "--warm-up", "1m"), "give one of them"),
        (("--warm-up", "30d"), "--warm-up 2.592e+06 leaves nothing"),
        (("--sweep", "20,0"), "has a start of no time"),
        (("--out", "/dev/null/x"), "name another with --out"),
    ],
)  # fmt: skip
def test_refusals(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    """What cannot be simulated is one line that says why."""
    rows.folder(tmp_path / "history", rows.every(60.0, 3))

    assert words in lightmeter("simulate", "--trace", "history", *options, cwd=tmp_path).refusal()


def test_useless_trace(tmp_path: Path) -> None:
    """A trace in which nobody was served asks for a service time."""
    log = gentd26.log(requests=30)
    log["predict_status"] = "PENDING"
    trace = gentd26.write(tmp_path / "log.csv", log)

    assert (
        "give --service-seconds" in lightmeter("simulate", "--trace", trace, cwd=tmp_path).refusal()
    )


def test_report(tmp_path: Path) -> None:
    """Settings are chosen before the split and named; starts are swept; the report is written."""
    trace = gentd26.write(tmp_path / "log.csv.gz", gentd26.log(requests=200, days=2.0))
    options = (
        "--policy",
        "recommended,hpa-tuned",
        "--split",
        "1d",
        "--sweep",
        "20,60",
        "--out",
        "new",
    )
    ran = lightmeter("simulate", "--trace", trace, *options, cwd=tmp_path)

    assert (0, "") == (ran.code, ran.err)
    assert "hpa-tuned: target" in ran.out
    assert "starts of 60 s" in ran.out
    assert {"simulate.html", "simulate.json", "simulate.md"} == {one.name for one in (tmp_path / "new").iterdir()}  # fmt: skip


def test_real_trace(tmp_path: Path) -> None:
    """On the production trace, held out, ours costs at least 10 % less than the tuned peers."""
    folder = os.environ.get("LIGHTMETER_TRACES")
    if not folder:
        pytest.skip("LIGHTMETER_TRACES names no folder of traces")
    trace = Path(folder) / "gentd26" / "requests.csv.gz"
    names = "recommended,hpa-tuned,knative-tuned"
    ran = lightmeter("simulate", "--trace", trace, "--policy", names, "--warm-up", "11d", "--json", cwd=tmp_path)  # fmt: skip
    cost = {row["policy"]: row["cost_gpu_hours"] for row in json.loads(ran.out)}

    assert cost["recommended"] < 0.9 * min(cost["hpa-tuned"], cost["knative-tuned"])
