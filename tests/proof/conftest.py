"""What several proofs share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.controlplane import DEPLOY, ControlPlane, assets
from support.server import eventually


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of Kubernetes with everything of deploy/kubernetes/namespaces in it."""
    with ControlPlane(tmp_path_factory.mktemp("cluster"), assets()) as control:
        control.install()
        yield control


@pytest.fixture(scope="session")
def overlay(cluster: ControlPlane) -> ControlPlane:
    """The control plane with the overlay `one-gpu` applied, and nothing of another."""
    assert eventually(lambda: not cluster.get("/api/v1/namespaces/images/pods")["items"], 60)
    assert [] == cluster.apply("-k", DEPLOY / "overlays/one-gpu")
    return cluster
