"""A checkpoint that does not fit is refused before any work, by what differs."""

import os
from collections.abc import Callable

import pytest

from agent.engine.compare import compare
from agent.kernel import cpu, mounts, process
from agent.runtime.target import Target
from chrek.errors import ArchitectureError, CPUFeaturesError, MountsError, UserError
from chrek.ids import HostPID
from chrek.manifest import Manifest, MountFact

Made = Callable[..., Manifest]


@pytest.fixture
def here() -> Target:
    """This very process in the place of a placeholder's PID 1."""
    ticks = process.start_ticks(os.getpid())
    assert ticks is not None
    return Target("here", "-", HostPID(os.getpid()), ticks)


def test_what_was_captured_here_fits_here(manifest: Made, here: Target) -> None:
    points = [MountFact(mount.point, "any", True) for mount in mounts.of("self")]
    compare(manifest(mounts=points), here)


def test_fewer_features_fit_a_processor_that_has_more(manifest: Made, here: Target) -> None:
    compare(manifest(cpu_features=cpu.features()[:1]), here)
    compare(manifest(cpu_features=[]), here)


def test_another_architecture_is_refused(manifest: Made, here: Target) -> None:
    with pytest.raises(
        ArchitectureError, match=f"of riscv64, this machine is {os.uname().machine}"
    ):
        compare(manifest(architecture="riscv64", uid=7), here)


def test_features_that_this_processor_lacks_are_named(manifest: Made, here: Target) -> None:
    with pytest.raises(CPUFeaturesError, match=r"lacks .*: amx_future, zzz") as caught:
        compare(manifest(cpu_features=[*cpu.features(), "zzz", "amx_future"]), here)
    assert "captured on a processor" in caught.value.hint


@pytest.mark.parametrize("changed", [{"uid": 54321}, {"gid": 54321}])
def test_another_user_is_refused(manifest: Made, here: Target, changed: dict[str, int]) -> None:
    with pytest.raises(UserError, match="54321"):
        compare(manifest(**changed), here)


def test_a_mount_that_the_placeholder_lacks_is_named(manifest: Made, here: Target) -> None:
    lacking = [MountFact("/", "overlay", False), MountFact("/data", "nfs", False)]
    with pytest.raises(MountsError, match=r"mounts /data$"):
        compare(manifest(mounts=lacking), here)


def test_what_a_runtime_masks_may_differ(manifest: Made, here: Target) -> None:
    masked = [MountFact(point, "tmpfs", True) for point in ("/proc/new", "/sys/firmware/new")]
    compare(manifest(mounts=masked), here)
    with pytest.raises(MountsError, match="/procession"):
        compare(manifest(mounts=[MountFact("/procession", "tmpfs", True)]), here)
