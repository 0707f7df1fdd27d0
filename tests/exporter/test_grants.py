"""Grants that device plugins put into a container's environment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.grants import Grant, read, unit
from support.fleet import gpu


GIB, MIB = 2**30, 2**20
T4 = 15_360 * MIB


def environ(**variables: str) -> bytes:
    return "".join(f"{name}={value}\0" for name, value in variables.items()).encode()


GPUSHARE = environ(
    ALIYUN_COM_GPU_MEM_IDX="1",
    ALIYUN_COM_GPU_MEM_POD="3",
    ALIYUN_COM_GPU_MEM_CONTAINER="3",
    ALIYUN_COM_GPU_MEM_DEV="15",
)
HAMI = environ(
    NVIDIA_VISIBLE_DEVICES=f"{gpu(0).uuid},{gpu(3).uuid}",
    CUDA_DEVICE_MEMORY_LIMIT_0="3000m",
    CUDA_DEVICE_MEMORY_LIMIT_1="2g",
)


def test_gpushare() -> None:
    """A gpushare grant is on the GPU of the scheduler's index, in the plugin's unit."""
    (grant,) = read(GPUSHARE)

    assert 3 * GIB == grant.on(gpu(1), T4)
    assert grant.on(gpu(0), T4) is None
    assert grant.on(gpu(1), None) is None


def test_mig() -> None:
    """A grant on a GPU is none on its MIG instances, which have grants of their own."""
    instance = gpu(1, profile="1g.10gb", instance=7, mig_uuid="MIG-a")
    (grant,) = read(GPUSHARE)

    assert grant.on(instance, T4) is None
    assert MIB == Grant(uuid="MIG-a", amount=MIB).on(instance, T4)


@pytest.mark.parametrize(
    ("total", "whole", "expected"),
    [(T4, 15, GIB), (T4, 15_360, MIB), (T4, 14, GIB), (81_559 * MIB, 79, GIB), (T4, 15_079, MIB)],
)
def test_unit(total: int, whole: int, expected: int) -> None:
    """Whether gpushare counts GiB or MiB is seen from how many it found."""
    assert expected == unit(total, whole)


def test_hami() -> None:
    """A HAMi grant is on each visible device, in the order of its limits."""
    first, second = read(HAMI)

    assert 3000 * MIB == first.on(gpu(0), T4)
    assert 2 * GIB == second.on(gpu(3), T4)
    assert first.on(gpu(3), T4) is None


def test_hami_one_limit() -> None:
    """One limit for all holds for each."""
    devices = f"{gpu(0).uuid},{gpu(1).uuid}"
    found = read(environ(NVIDIA_VISIBLE_DEVICES=devices, CUDA_DEVICE_MEMORY_LIMIT="1048576"))

    assert (Grant(uuid=gpu(0).uuid, amount=MIB), Grant(uuid=gpu(1).uuid, amount=MIB)) == found


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"PATH=/bin\0HOME=/root\0",
        GPUSHARE.replace(b"=15", b"=0"),
        GPUSHARE.replace(b"IDX=1", b"IDX=-1"),
        GPUSHARE.replace(b"=15", b"=" + b"9" * 50),
        environ(NVIDIA_VISIBLE_DEVICES="all", CUDA_DEVICE_MEMORY_LIMIT="3g"),
        HAMI.replace(b"3000m", b"much").replace(b"2g", b""),
        environ(CUDA_DEVICE_MEMORY_LIMIT_0="3g"),
    ],
)
def test_none(text: bytes) -> None:
    """No grant is better than a wrong one."""
    assert () == read(text)


@given(st.binary())
def test_anything(text: bytes) -> None:
    """No environment whatever is an error."""
    read(b"ALIYUN_COM_GPU_MEM_IDX=" + text + b"\0NVIDIA_VISIBLE_DEVICES=" + text)
