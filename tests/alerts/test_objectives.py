"""slo.toml: what it may say, and what it is told when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts import packs
from alerts.objectives import Slo, parse
from alerts.rule import Severity
from lightmeter.errors import RuleError


EXAMPLE = Path(__file__).parents[2] / "alerts" / "example-slo.toml"
ONE = '[[objective]]\nname = "a"\nkind = "{}"\ntarget = {}\n{}'


def slo(text: str) -> Slo:
    return parse(text, "slo.toml")


def test_nothing() -> None:
    """An empty file is the defaults."""
    assert Slo() == slo("")


def test_example() -> None:
    """The example that is shipped is read, and changes what it says."""
    pack = packs.make("recommended", slo(EXAMPLE.read_text()))
    by_name = {alert.name: alert for alert in pack.alerts}

    assert "LightmeterDuplicateBurst" not in by_name
    assert "300s" == by_name["LightmeterGpuThrottled"].hold
    assert "8000" in by_name["LightmeterSpendOverBudget"].expr
    assert () == pack.notes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("period =", "are no TOML"),
        ('period = "9d"', "period is '9d': input should be '30d' or '7d'"),
        ("perod = 1", "perod is no setting; did you mean 'period'?"),
        (
            ONE.format("availability", 1.0, ""),
            "objective.0.target is 1.0: input should be less than 1",
        ),
        (ONE.format("speed", 0.9, ""), "objective.0.kind is 'speed'"),
        (ONE.format("wait", 0.9, ""), "'within' is missing for kind wait"),
        (ONE.format("guard", 0.9, "within = 3"), "'within' is of no use for kind guard"),
        (
            ONE.format("guard", 0.9, "witin = 3"),
            "objective.0.witin is no setting; did you mean 'within'?",
        ),
        (ONE.format("guard", 0.9, 'service = "("'), "is no regular expression"),
        (ONE.format("guard", 0.9, "service = 'a\"b'"), "must not contain quotes"),
        (ONE.format("guard", 0.9, "") * 2, "objective 'a' is there twice"),
        ("[money]\ngpu_hour = -1", "money.gpu_hour is -1"),
    ],
)
def test_refused(text: str, said: str) -> None:
    """A mistake is named with its key, its value and what is allowed."""
    with pytest.raises(RuleError) as caught:
        slo(text)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_alert() -> None:
    """A change to an alert that does not exist names the one that was meant."""
    with pytest.raises(RuleError, match="did you mean 'LightmeterXidHardware'"):
        packs.make("recommended", slo("[alerts.LightmeterXidHardwre]\nenabled = false"))


def test_changed() -> None:
    """Severity and time of an alert are as the file says."""
    changed = slo('[alerts.LightmeterQueueGrowing]\nseverity = "page"\nhold = "30m"')
    alert = next(a for a in packs.make("recommended", changed).alerts if a.name == "LightmeterQueueGrowing")  # fmt: skip

    assert (Severity.PAGE, "1800s") == (alert.severity, alert.hold)


def test_bound() -> None:
    """A limit between two bounds of the histogram becomes the one above."""
    made = slo(ONE.format("wait", 0.9, 'within = "10s"'))

    assert 12.1 == made.objective[0].bound


def test_loose_target() -> None:
    """Where no error ratio can burn the budget fast enough, there is no alert, and that is said."""
    pack = packs.make("recommended", slo(ONE.format("availability", 0.9, "")))

    assert any("0.9 is so low" in note for note in pack.notes)
    assert "LightmeterErrorBudgetBurn1h" not in {alert.name for alert in pack.alerts}
    assert "LightmeterErrorBudgetBurn6h" in {alert.name for alert in pack.alerts}
