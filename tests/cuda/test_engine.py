"""Real CRIU, real containers, and a program whose pretended CUDA state is in its own memory."""

import asyncio
import dataclasses
import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agent.criu.bundle import find
from agent.cuda import known, limits
from agent.cuda.errors import HostMemoryError
from agent.cuda.helper.client import Deadlines, Helper
from agent.cuda.hostmemory import Raise
from agent.engine import operations
from agent.engine.capture import Capture, capture
from agent.engine.means import Means
from agent.engine.operations import Changes
from agent.engine.restore import Choices, Restored, restore
from agent.kernel import process
from agent.runtime.target import Target
from agent.store.checkpoints import Stored
from chrek.cli.machine import Machine, open_machine
from chrek.errors import ChrekError
from chrek.ids import CheckpointID, HostPID
from tests.machine.conftest import Chrek, _remove_shim, chrek, shim, wait_for

__all__ = ["_remove_shim", "chrek", "shim"]

IDENTIFIER = CheckpointID("warm")


@dataclasses.dataclass
class Places:
    """A machine whose containers have GPUs, or seem to."""

    chrek: Chrek
    machine: Machine
    means: Means
    program: Path

    async def source(self, size_bytes: int = 0, *options: str) -> Target:
        words = ["--cwd", "/", *options, "--", str(self.program)]
        words += [f"{self.program.parent}/libcuda.so.1", str(size_bytes)]
        await asyncio.to_thread(self.chrek, "run", "--name", "source", *words)
        await self.says("source", "running")
        return self.given("source")

    def given(self, name: str) -> Target:
        """The container, with two GPUs in its /dev."""
        target = self.machine.containers.target(name)
        for minor in range(2):
            node = target.root / f"dev/nvidia{minor}"
            os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(195, minor))
        return target

    async def says(self, name: str, word: str) -> None:
        log = self.machine.containers.places(name).log
        written = len(log.read_text())
        await asyncio.to_thread(wait_for, lambda: word in log.read_text()[written:], word)

    def log(self, name: str) -> list[str]:
        return self.machine.containers.places(name).log.read_text().splitlines()

    async def capture(self, target: Target) -> Stored:
        asked = Capture(target, IDENTIFIER)
        return await capture(asked, store=self.machine.store, means=self.means)

    async def restore(self, stored: Stored) -> Restored:
        assert stored.manifest.spec is not None
        target = await self.machine.start("copy", stored.manifest.spec)
        self.given("copy")
        choices = Choices(self.machine.settings.namespace)
        return await restore(target, stored.path, means=self.means, choices=choices)


@pytest.fixture(autouse=True)
def _driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel module seems to be there."""
    version = tmp_path / "version"
    version.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.0  Release\n")
    monkeypatch.setattr(known, "_VERSION", version)


@pytest_asyncio.fixture
async def places(
    chrek: Chrek,
    pretender: Path,
    shim: str | None,
    command: tuple[str, ...],
) -> AsyncIterator[Places]:
    machine = open_machine(chrek.root)
    settings = dataclasses.replace(machine.settings, test_shim=shim)
    helper = Helper(command, deadlines=Deadlines(start=10.0, copy=4.0, locked=2.0))
    async with Means(find(), settings, machine.keys(), helper) as means:
        yield Places(chrek, machine, means, pretender)


async def test_nothing_of_the_app_runs_before_its_gpu_is_back(places: Places) -> None:
    stored = await places.capture(await places.source())
    await places.says("source", "running")
    assert "checkpointed" in places.log("source")

    restored = await places.restore(stored)

    await places.says("copy", "running")
    assert "checkpointed" not in places.log("copy")
    assert "locked" not in places.log("copy")
    assert restored.phases["cuda-restore"] > 0


async def test_a_checkpoint_knows_gpus_and_who_used_them(
    places: Places, wrongs: Callable[..., None]
) -> None:
    target = await places.source()
    stored = await places.capture(target)
    gpu = stored.manifest.gpu
    assert gpu is not None
    assert gpu.driver == "580.0"
    assert [device.product for device in gpu.devices] == ["Pretended", "Pretended"]
    (user,) = gpu.processes
    named = {fact.pid: fact.name for fact in stored.manifest.facts.processes}
    assert named[user.pid] == "pretender"


@pytest.mark.parametrize(
    ("call", "wrong", "reason"),
    [
        ("lock", "CUDA_ERROR_NOT_READY", "GPUBusy"),
        ("checkpoint", "CUDA_ERROR_NOT_SUPPORTED", "ManagedMemory"),
        ("checkpoint", "hang", "GPUHelperFailed"),
        ("lock", "die", "GPUHelperFailed"),
    ],
)
async def test_a_source_runs_on_whatever_the_driver_does(
    places: Places, wrongs: Callable[..., None], call: str, wrong: Any, reason: str
) -> None:
    target = await places.source()
    wrongs(**{call: wrong})
    with pytest.raises(ChrekError) as caught:
        await places.capture(target)
    assert caught.value.reason == reason
    await places.says("source", "running")
    assert not list(places.machine.store.variants(IDENTIFIER))
    wrongs()
    await places.capture(target)


async def test_a_source_that_cannot_be_brought_back_is_ended(
    places: Places, wrongs: Callable[..., None]
) -> None:
    target = await places.source()
    wrongs(restore="CUDA_ERROR_OUT_OF_MEMORY")
    with pytest.raises(ChrekError) as caught:
        await places.capture(target)
    assert caught.value.reason == "SourceLost"
    assert await asyncio.to_thread(places.chrek.exit_status, "source") == 137


@pytest.mark.parametrize(
    ("inventory", "reason"),
    [
        ({"product": "Other"}, "GPUProductDiffers"),
        ({"driver": "595.1"}, "DriverDiffers"),
        ({"driver": "595.71.05"}, "DriverKnownBad"),
        ({"mig": True}, "MIG"),
    ],
)
async def test_another_gpu_is_refused_before_any_work(
    places: Places, wrongs: Callable[..., None], inventory: Any, reason: str
) -> None:
    stored = await places.capture(await places.source())
    wrongs(inventory=inventory)
    with pytest.raises(ChrekError) as caught:
        await places.restore(stored)
    assert caught.value.reason == reason
    await places.says("copy", "running")  # cold


@pytest.mark.parametrize("wrong", ["hang", "die", "CUDA_ERROR_OUT_OF_MEMORY"])
async def test_a_gpu_that_does_not_come_back_means_a_cold_start(
    places: Places, wrongs: Callable[..., None], wrong: str
) -> None:
    stored = await places.capture(await places.source())
    wrongs(restore=wrong)
    with pytest.raises(ChrekError):
        await places.restore(stored)
    await asyncio.to_thread(wait_for, lambda: "ready" in places.log("copy"), "a cold start")
    assert "checkpointed" not in places.log("copy")


def user_of(target: Target) -> int:
    """The process with the GPU, as the host counts."""
    found = process.in_pid_namespace(target.init)
    return next(each.host_pid for each in found if each.name == "pretender")


def limit_of(target: Target) -> int:
    (level,) = [level for level in limits.levels(target) if level.what == "container"]
    assert level.limit_bytes is not None
    return level.limit_bytes


async def test_a_memory_limit_too_small_for_the_gpus_bytes_is_raised_meanwhile(
    places: Places, wrongs: Callable[..., None]
) -> None:
    target = await places.source(300 << 20, "--memory", "128m")
    wrongs(inventory={"processes": {str(user_of(target)): 300 << 20}})

    stored = await places.capture(target)

    await places.says("source", "running")
    assert limit_of(target) == 128 << 20
    wrongs()
    await places.restore(stored)
    await places.says("copy", "running")
    assert limit_of(places.machine.containers.target("copy")) == 128 << 20


async def test_what_the_node_has_no_room_for_is_refused(
    places: Places, wrongs: Callable[..., None]
) -> None:
    target = await places.source()
    wrongs(inventory={"processes": {str(user_of(target)): 1 << 50}})
    with pytest.raises(HostMemoryError, match="the node has"):
        await places.capture(target)
    assert "locked" not in places.log("source")


async def test_limits_that_a_killed_agent_left_raised_are_put_back(places: Places) -> None:
    target = await places.source(0, "--memory", "128m")
    change = Raise(str(Path(limits.levels(target)[-1].path)), 128 << 20, 256 << 20)
    async with limits.raised([change]):
        assert limit_of(target) == 256 << 20
    assert limit_of(target) == 128 << 20
    file = next(Path(change.path).glob("memory.[ml][ai][xm]*"))  # memory.max, memory.limit_...
    file.write_text(str(change.to_bytes))

    await killed(places, target, Changes(limits={change.path: change.before_bytes}))

    assert limit_of(target) == 128 << 20


async def killed(places: Places, target: Target, changes: Changes) -> None:
    """What the next process does after one that was killed in a capture."""
    settings = places.machine.settings
    with operations.recorded(settings, "capture", target, [], changes):
        (record,) = (settings.root / "operations").glob("*.json")
        content = record.read_bytes()
    record.write_bytes(content)
    await operations.tidy(settings, places.means.gpu)
    assert not record.exists()


async def test_a_source_whose_agent_was_killed_gets_its_gpu_back(places: Places) -> None:
    target = await places.source()
    pid = HostPID(user_of(target))
    await places.means.gpu.lock(pid, 1000)
    await places.means.gpu.checkpoint(pid)
    await places.says("source", "checkpointed")

    await killed(places, target, Changes(paused={pid: process.start_ticks(pid) or 0}))

    await places.says("source", "running")


async def test_one_that_cannot_get_it_back_is_ended(
    places: Places, wrongs: Callable[..., None]
) -> None:
    target = await places.source()
    pid = HostPID(user_of(target))
    await places.means.gpu.lock(pid, 1000)
    wrongs(unlock="CUDA_ERROR_UNKNOWN")

    await killed(places, target, Changes(paused={pid: process.start_ticks(pid) or 0}))

    assert await asyncio.to_thread(places.chrek.exit_status, "source") == 137


async def test_another_process_with_its_number_is_left_alone(places: Places) -> None:
    target = await places.source()
    pid = HostPID(user_of(target))
    await places.means.gpu.lock(pid, 1000)

    await killed(places, target, Changes(paused={pid: 1}))

    await places.says("source", "locked")


async def test_without_a_driver_a_program_that_loads_cuda_is_like_any_other(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "_VERSION", Path("/nonexistent"))
    stored = await places.capture(await places.source())
    assert stored.manifest.gpu is None
    assert places.means.gpu.pid is None
