"""How many replicas there should be, and why. Pure: docs/scaling.md explains it."""

from lightmeter.scaling.decide import decide
from lightmeter.scaling.decision import Decision, inputs
from lightmeter.scaling.signals import Observations
from lightmeter.scaling.state import Settings, State, adopt, fresh


__all__ = ["Decision", "Observations", "Settings", "State", "adopt", "decide", "fresh", "inputs"]
