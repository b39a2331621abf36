"""The CRIU bundle with its messages, and the facts of a source."""

import os
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agent.criu.bundle import Bundle, find
from agent.kernel import cpu
from chrek.errors import MachineError
from chrek.manifest import Facts, Manifest


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    try:
        return find()
    except MachineError as error:
        pytest.skip(str(error))


@pytest.fixture
def manifest() -> Callable[..., Manifest]:
    """A manifest of a checkpoint that fits this machine, with some facts changed."""

    def made(**changed: Any) -> Manifest:
        facts = Facts(
            architecture=cpu.architecture(),
            cpu_model="a processor",
            cpu_features=cpu.features(),
            kernel="6.1",
            criu="4.2",
            chrek_init="chrek-init 0.1",
            reaper="reaper-0123456789abcdef",
            hostname="here",
            uid=os.getuid(),
            gid=os.getgid(),
            root_pid=1000,
            max_pid=1001,
            stdio=[],
            addresses=[],
            mounts=[],
            file_roots=[],
            processes=[],
            cgroup_version=2,
        )
        return Manifest(
            format=1,
            id="warm",
            variant="0" * 16,
            namespace="default",
            created="2026-01-01T00:00:00Z",
            chrek="0.1.0",
            source="web",
            facts=msgspec.structs.replace(facts, **changed),
            files=[],
            phases={},
            frozen_seconds=0.0,
        )

    return made
