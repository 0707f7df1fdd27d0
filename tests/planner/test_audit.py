"""Claims of cost and speed: which hold, which contradict themselves, which cannot be."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lightmeter import cli
from lightmeter.errors import PlanError
from planner import audit


ROOT = Path(__file__).parents[2]
BUILTIN = {row["claim"]: row for row in audit.builtin()}


def check(tmp_path: Path, **figures: object) -> dict[str, Any]:
    """Check one claim, written to a file."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in ({"claim": "x"} | figures).items()]
    (tmp_path / "claims.toml").write_text("\n".join(["[[claim]]", *lines]))
    return audit.of_file(tmp_path / "claims.toml")[0]


def builtin(start: str) -> tuple[str, float]:
    """Give the verdict and the computed figure of the built-in claim that begins so."""
    row = next(row for claim, row in BUILTIN.items() if claim.startswith(start))
    return row["verdict"], row["computed"]


@pytest.mark.parametrize(
    ("start", "verdict", "computed"),
    [
        ("Five pods on a card bring 1,000", "holds", 0.622),
        ("Utilization from 28 to 67 %", "inconsistent", 3.79),
        ("1,000 images cost 8.2 yuan on a T4", "inconsistent", 157.7),
        ("At 67 % utilization", "inconsistent", 30.6),
        ("A node that offers 8,000", "impossible", 1.875),
        ("A pod of 3 GB", "impossible", 11.46),
        ("Two RTX 3090 make 30", "impossible", 1.33),
        ("200 pictures of 30 s take 1.7 h", "holds", 1.667),
        ("51 h at 5 yuan an hour", "inconsistent", 255),
        ("51 h at 0.08 yuan a minute", "inconsistent", 244.8),
        ("Against its other table's rent", "inconsistent", 0.898),
        ("A GPU rented for 6,000", "inconsistent", 3600),
        ("A GPU rented for 3,000", "holds", 3600),
        ("On demand, with starts of 3 minutes", "inconsistent", 875),
        ("Two GPUs bring four pictures", "holds", 6.4),
    ],
)
def test_founding(start: str, verdict: str, computed: float) -> None:
    """The founding articles' figures get the verdicts that their arithmetic gives by hand."""
    found, figure = builtin(start)
    assert verdict == found
    assert computed == pytest.approx(figure, rel=0.005)


def test_founding_sources() -> None:
    """Each built-in claim names its article, and the docs count them."""
    sources = Counter(row["source"] for row in BUILTIN.values())
    verdicts = Counter(row["verdict"] for row in BUILTIN.values())

    assert {"founding article 1", "founding article 2", "founding article 3", "founding article 5"} == set(sources)  # fmt: skip
    assert (21, 6) == (len(BUILTIN), verdicts["holds"])
    assert "of their 21, six hold" in (ROOT / "docs" / "planner.md").read_text()


ROOFLINE = {"gpu": "L40S", "width": 1024, "height": 1024, "forwards": 8}
COLD = {"requests_per_day": 200, "seconds": 30, "hours_per_day": 10, "cold_start_seconds": 180}


@pytest.mark.parametrize(
    ("verdict", "figures"),
    [
        ("holds", {"kind": "cost", "hours": 51, "rate": 5, "cost": 255}),
        ("holds", {"kind": "cost", "hours": 51, "rate": 5, "cost": 260}),
        ("inconsistent", {"kind": "cost", "hours": 51, "rate": 5, "cost": 260, "tolerance": 0.01}),
        ("holds", {"kind": "cost", "cost": 875, "rate": 5, **COLD}),
        ("holds", {"kind": "cost", "cost": 1301, "rate": 5, "idle_timeout_seconds": 300, **COLD}),
        ("holds", {"kind": "cost", "cost": 1500, "rate": 5, "idle_timeout_seconds": 1800, **COLD}),
        ("impossible", {"kind": "cost", "cost": 9, "rate": 5, **COLD, "hours_per_day": 1}),
        ("holds", {"kind": "throughput", "images_per_second": 0.5, **ROOFLINE}),
        ("impossible", {"kind": "throughput", "images_per_second": 1, **ROOFLINE}),
        ("holds", {"kind": "throughput", "images_per_second": 1, "gpus": 2, **ROOFLINE}),
        ("holds", {"kind": "throughput", "concurrency": 4, "seconds": 2, "images_per_second": 2}),
        ("inconsistent", {"kind": "throughput", "concurrency": 4, "seconds": 2, "images_per_second": 3}),
        ("holds", {"kind": "throughput", "seconds_before": 12, "seconds_after": 5, "gpus": 4}),
        ("inconsistent", {"kind": "throughput", "seconds_before": 12, "seconds_after": 5, "gpus": 2}),
        ("holds", {"kind": "throughput", "concurrency": 2, "seconds_alone": 3, "seconds": 6}),
        ("holds", {"kind": "latency", "seconds": 2, **ROOFLINE}),
        ("impossible", {"kind": "latency", "seconds": 1, **ROOFLINE}),
        ("holds", {"kind": "latency", "seconds": 31, "seconds_alone": 15.2, "utilization": 0.67}),
        ("impossible", {"kind": "latency", "seconds": 31, "seconds_alone": 15.2, "utilization": 1}),
        ("holds", {"kind": "utilization", "busy_hours": 50, "hours": 720, "utilization": 0.07}),
        ("impossible", {"kind": "utilization", "busy_hours": 50, "hours": 24, "utilization": 1}),
        ("holds", {"kind": "utilization", "utilization": 0.28, **COLD}),
        ("inconsistent", {"kind": "utilization", "utilization": 0.9, **COLD}),
        ("holds", {"kind": "utilization", "used": 5, "available": 16, "copies": 3}),
        ("holds", {"kind": "utilization", "parameters": 1e9, "memory_gib": 2}),
    ],
)  # fmt: skip
def test_form(tmp_path: Path, verdict: str, figures: dict[str, object]) -> None:
    """Every kind of claim can hold and can fail, and says why."""
    row = check(tmp_path, **figures)

    assert verdict == row["verdict"], row["because"]
    assert row["because"]


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"kind": "price"}, "claim 1: kind is 'price'; it must be one of cost, throughput, latency"),
        ({"hours": 1}, "claim 1: kind is missing"),
        ({"kind": "cost", "hours": 51, "cost": 255}, "claim 1: 'rate' is missing"),
        ({"kind": "cost", "hours": 51, "rat": 5, "cost": 1}, "'rat' is no figure of this kind; did you mean 'rate'?"),
        ({"kind": "cost", "hours": 5, "rate": 5, "cost": 1, "saving": 0.1}, "'saving' goes with none of the other"),
        ({"kind": "cost", "hours": -5, "rate": 5, "cost": 1}, "hours is -5; it must be above 0"),
        ({"kind": "cost", "hours": "5", "rate": 5, "cost": 1}, "hours is '5'; it must be a number"),
        ({"kind": "cost", "hours": True, "rate": 5, "cost": 1}, "hours is True; it must be a number"),
        ({"kind": "cost", "cost_before": 5, "cost_after": 1, "saving": 80}, "saving is 80; it is a ratio from 0 to 1"),
        ({"kind": "cost", "hours": 5, "rate": 5, "cost": 1, "claim": 3}, "claim is 3; it must be text"),
        ({"kind": "latency", "seconds": 1, **ROOFLINE, "gpu": "L41"}, "GPU 'L41' is in no table of peaks"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, figures: dict[str, object], said: str) -> None:
    """A claim that cannot be checked is refused in one line that names the file, the claim and why."""
    with pytest.raises(PlanError, match=re.escape(said)) as refusal:
        check(tmp_path, **figures)

    assert str(tmp_path / "claims.toml") in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "must hold [[claim]] tables and nothing else"),
        (b"claim = []", "must hold [[claim]] tables and nothing else"),
        (b"[[claims]]\nx = 1", "nothing else; it has 'claims'"),
        (b"claim = [1]", "claim 1 is 1; write it as a [[claim]] table"),
        (b"[[claim]\n", "is no TOML"),
        (b"\xff\xfe", "is no TOML"),
    ],
)
def test_no_claims(tmp_path: Path, content: bytes, said: str) -> None:
    """A file without claims is refused, and what is wrong with it said."""
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(PlanError, match=re.escape(said)):
        audit.of_file(tmp_path / "x")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str]:
    """Run the command; return its exit code and what it printed."""
    with pytest.raises(SystemExit) as end:
        cli.main(["plan", "audit", *arguments])
    return end.value.code, capsys.readouterr().out


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a file the built-in claims are checked, and since some do not hold it ends with 1."""
    code, out = run(capsys, "--json")
    rows = json.loads(out)

    assert (1, 21) == (code, len(rows))
    assert all({"claim", "source", "verdict", "computed"} <= row.keys() for row in rows)
    assert "claims: holds 6, inconsistent 11, impossible 4" in run(capsys)[1]


def test_documented(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page's example runs: one claim contradicts itself, one cannot be, one holds."""
    page = (ROOT / "docs" / "planner.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    block = next(one for one in blocks if "[[claim]]" in one)
    (tmp_path / "claims.toml").write_text(block)
    code, out = run(capsys, str(tmp_path / "claims.toml"), "--json")
    rows = json.loads(out)

    assert (1, ["inconsistent", "impossible", "holds"]) == (code, [row["verdict"] for row in rows])
    assert ("the offer of May", 255.0) == (rows[0]["source"], rows[0]["computed"])
    (tmp_path / "claims.toml").write_text("[[claim]]" + block.split("[[claim]]")[3])
    assert 0 == run(capsys, str(tmp_path / "claims.toml"))[0]


def test_every_figure_is_documented() -> None:
    """Each figure that a claim may give stands in the page's table."""
    page = (ROOT / "docs" / "planner.md").read_text()
    known = {key for forms in audit.KINDS.values() for form in forms for key in form.keys}

    assert [] == [key for key in sorted(known) if f"`{key}`" not in page]
    assert all(f"| `{kind}` |" in page for kind in audit.KINDS)


def test_forms_differ() -> None:
    """No claim fits two forms, so its verdict does not hang on their order."""
    for forms in audit.KINDS.values():
        for form in forms:
            least = {form.stated, *form.needs}
            assert [form] == [
                other for other in forms if other.fits(least) or other.fits(form.keys)
            ]
