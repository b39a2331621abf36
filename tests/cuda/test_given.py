"""GPUs of a machine for a container, and those that a container has."""

import os
import stat
from pathlib import Path

import pytest

from agent.cuda import given
from agent.cuda.errors import GPUsUnknownError
from agent.cuda.helper.model import GPU, Inventory
from agent.runtime.runc import gpus
from chrek.errors import UsageError
from chrek.ids import HostPID

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: device nodes are made")

NODES = {"nvidia0": (195, 0), "nvidia1": (195, 1), "nvidiactl": (195, 255), "nvidia-uvm": (238, 0)}
UUIDS = [f"GPU-{number:08x}-1111-2222-3333-444444444444" for number in range(2)]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /dev with two GPUs, and what the driver says of them."""
    dev = tmp_path / "dev"
    dev.mkdir()
    for name, (major, minor) in NODES.items():
        os.mknod(dev / name, 0o666 | stat.S_IFCHR, os.makedev(major, minor))
    monkeypatch.setattr(gpus, "_DEV", dev)
    for minor, uuid in enumerate(UUIDS):
        place = tmp_path / "gpus" / f"0000:0{minor}:00.0"
        place.mkdir(parents=True)
        text = f"Model: \t\t NVIDIA H200\nGPU UUID: \t {uuid}\nDevice Minor: \t {minor}\n"
        (place / "information").write_text(text)
    monkeypatch.setattr(gpus, "_KNOWN", tmp_path / "gpus")
    return dev


def names(asked: list[str]) -> list[str]:
    return [Path(device["path"]).name for device in gpus.attached(asked).devices]


def test_all_gpus_come_with_what_they_share(machine: Path) -> None:
    assert names(["all"]) == ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"]
    rules = gpus.attached(["all"]).rules
    assert {"allow": True, "type": "c", "major": 238, "minor": 0, "access": "rwm"} in rules


def test_a_gpu_is_chosen_by_number_or_uuid(machine: Path) -> None:
    assert names(["1"]) == names([UUIDS[1]]) == ["nvidia1", "nvidiactl", "nvidia-uvm"]


def test_a_gpu_that_is_not_there_is_an_error_that_names_those_that_are(machine: Path) -> None:
    with pytest.raises(UsageError, match=f"--gpus 7: there are {UUIDS[0]}"):
        gpus.attached(["7"])


def test_a_machine_without_gpus_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_DEV", tmp_path)
    with pytest.raises(UsageError, match="no GPU, or no driver"):
        gpus.attached(["all"])


def test_a_container_has_the_gpus_whose_nodes_it_sees(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [GPU(uuid, "NVIDIA H200", n, 1, 1, False, False, []) for n, uuid in enumerate(UUIDS)]
    inventory = Inventory("580.1", 13000, made)
    (machine / "nvidia0").unlink()
    monkeypatch.setattr(given, "_DEV", str(machine))
    assert given.seen(inventory, HostPID(os.getpid())) == made[1:]
    assert given.chosen(inventory, ["1"]) == given.chosen(inventory, [UUIDS[1]]) == made[1:]
    (machine / "nvidia1").unlink()
    with pytest.raises(GPUsUnknownError):
        given.seen(inventory, HostPID(os.getpid()))


@pytest.mark.parametrize(
    ("allowed", "gpus_kept_away"),
    [
        ("a *:* rwm\n", set()),
        ("c *:* m\nc 195:* rw\n", set()),
        ("c 1:3 rwm\nc 195:0 rwm\nc 195:255 rw\nc 238:1 rw\n", {1}),
        ("c 1:3 rwm\nb 195:0 rw\nc 195:1 rwm\n", {0}),
        ("", {0, 1}),
    ],
)  # fmt: skip
def test_a_node_that_the_container_may_not_open_is_no_gpu_of_its(
    allowed: str, gpus_kept_away: set[int]
) -> None:
    assert given.forbidden(allowed) & {0, 1} == gpus_kept_away


def test_what_a_container_was_not_given_is_not_its_whoever_made_the_node(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [GPU(uuid, "NVIDIA H200", n, 1, 1, False, False, []) for n, uuid in enumerate(UUIDS)]
    inventory = Inventory("580.1", 13000, made)
    monkeypatch.setattr(given, "_DEV", str(machine))
    assert given.seen(inventory, HostPID(os.getpid())) == made
    monkeypatch.setattr(given, "_forbidden", lambda _: {0})
    assert given.seen(inventory, HostPID(os.getpid())) == made[1:]
