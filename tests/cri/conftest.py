"""One containerd for all tests of this folder."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from agent.runtime.cri.client import CRI, connected

from . import containerd as programs
from .containerd import Containerd
from .kubelet import Kubelet, Pod


@pytest.fixture(scope="session")
def containerd() -> Iterator[Containerd]:
    if os.geteuid() != 0 or programs.MISSING:
        what = ", ".join(programs.MISSING) or "root"
        pytest.skip(f"needs {what} for a containerd of its own (see `make test-tools`)")
    with programs.running() as started:
        yield started


@pytest.fixture(scope="session")
def kubelet(containerd: Containerd) -> Kubelet:
    return Kubelet(containerd.socket, containerd.cgroup, containerd.home / "pods")


@pytest.fixture
def pod(kubelet: Kubelet) -> Iterator[Pod]:
    made = kubelet.run_pod("web-0", "shop")
    yield made
    kubelet.remove_pod(made)


@pytest.fixture
async def cri(containerd: Containerd) -> AsyncIterator[CRI]:
    async with connected(containerd.socket) as runtime:
        yield runtime
