"""Up, down and what lies between."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from time import CLOCK_BOOTTIME, clock_gettime

import pytest

from .client import Cluster
from .images import image_name
from .init import TUNED
from .layout import CGROUP
from .second import NAME, STATE, run

CGROUPS = Path("/sys/fs/cgroup")


def _lines(*command: str) -> tuple[str, ...]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return tuple(line for line in done.stdout.splitlines() if NAME in line or "10.214." in line)


def _rules() -> tuple[str, ...]:
    done = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True)
    return tuple(line for line in done.stdout.splitlines() if not line.startswith(("#", ":")))


def _settings() -> tuple[str, ...]:
    return tuple(Path("/proc/sys", name).read_text() for name in TUNED)


@dataclass(frozen=True)
class Traces:
    """What a cluster could leave on the machine."""

    mounts: tuple[str, ...] = field(default_factory=lambda: _lines("cat", "/proc/self/mountinfo"))
    links: tuple[str, ...] = field(default_factory=lambda: _lines("ip", "-brief", "link"))
    routes: tuple[str, ...] = field(default_factory=lambda: _lines("ip", "route"))
    rules: tuple[str, ...] = field(default_factory=_rules)
    settings: tuple[str, ...] = field(default_factory=_settings)


def namespaces_of(pid: int) -> set[str]:
    return {str(link.readlink()) for link in Path(f"/proc/{pid}/ns").iterdir()}


def processes_within(namespaces: set[str], until: float = inf) -> list[str]:
    """The processes that are in one of these namespaces, and began by `until` (seconds since the
    machine did): a namespace that came later can have the number of one that is gone."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if began(process) <= until and namespaces & namespaces_of(int(process.name)):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def began(process: Path) -> float:
    """When it was started, in seconds since the machine was."""
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def before() -> Traces:
    """What the machine was like before the second cluster."""
    run("down", "--force")
    return Traces()


@pytest.fixture(scope="module")
def second(running: Cluster, before: Traces) -> Iterator[Cluster]:
    """A second cluster, up."""
    if not running.own:
        pytest.skip("a cluster that KUBECONFIG names is not started or ended here")
    run("up")
    yield Cluster(STATE / "kubeconfig")
    run("down", "--force")


@pytest.fixture
def pod(second: Cluster) -> str:
    """A pod in its default namespace, which runs."""
    name = f"stays-{uuid.uuid4().hex[:6]}"
    image = [f"--image={image_name('entrypoint')}", "--image-pull-policy=IfNotPresent"]
    second.kubectl("run", name, *image)
    second.wait_for_pod("default", name)
    return name


def restarts(cluster: Cluster, pod: str) -> int:
    return int(cluster.get("default", "pod", pod)["status"]["containerStatuses"][0]["restartCount"])


@pytest.mark.usefixtures("second")
def test_up_a_second_time_starts_nothing() -> None:
    status = run("status")
    assert "started" not in run("up")
    assert run("status") == status


def test_what_died_is_brought_back_and_pods_run_on(second: Cluster, pod: str) -> None:
    died = ("kubelet", "kube-apiserver", "kube-scheduler", "etcd", "containerd")
    for name in died:
        run("enter", "sh", "-c", f"kill -KILL $(cut -d' ' -f1 {STATE}/running/{name}.pid)")
    assert "ended" in run("status", code=1)
    assert "made anew" not in run("up")
    assert "ended" not in run("status")
    second.wait_for_pod("default", pod)
    assert restarts(second, pod) == 0
    assert second.kubectl("exec", pod, "--", "echo", "there").out == "there\n"


def test_a_node_that_is_gone_is_made_anew(second: Cluster, pod: str) -> None:
    run("enter", "sh", "-c", f"rm -rf {STATE}/configuration")
    run("up")
    assert second.kubectl("get", "pod", pod, code=1).err.startswith("Error from server (NotFound)")


def test_down_leaves_nothing_but_logs(second: Cluster, before: Traces, pod: str) -> None:
    assert second.get("default", "pod", pod)["status"]["phase"] == "Running"
    node = int((STATE / "node.pid").read_text())
    namespaces = namespaces_of(node) - namespaces_of(os.getpid())
    assert len(processes_within(namespaces)) > 8
    asked = clock_gettime(CLOCK_BOOTTIME)
    run("down")
    assert processes_within(namespaces, asked) == []
    assert Traces() == before
    assert not list(CGROUPS.glob(f"**/{NAME}"))
    assert [entry.name for entry in STATE.iterdir()] == ["logs"]
    assert (STATE / "logs" / "kubelet.log").stat().st_size > 0
    assert CGROUP != NAME, "the first cluster's is another"
