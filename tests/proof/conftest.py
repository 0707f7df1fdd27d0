"""What several proofs share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.controlplane import ControlPlane, assets


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of Kubernetes with everything of deploy/kubernetes/namespaces in it."""
    with ControlPlane(tmp_path_factory.mktemp("cluster"), assets()) as control:
        control.install()
        yield control
