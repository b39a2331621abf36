"""cgroup v2 alone, as every current node has it."""

from pathlib import Path

from agent.kernel import process
from tests.machine.conftest import PYTHON, Chrek

LIMIT_BYTES = 256 << 20


def test_a_copy_lives_in_the_cgroup_and_cgroup_namespace_of_its_own_container(chrek: Chrek) -> None:
    chrek.run(
        "source", PYTHON, "/programs/counter.py", "0.0.0.0", "child",
        options=("--user", "1000:1000", "--memory", str(LIMIT_BYTES)),
    )  # fmt: skip
    chrek("checkpoint", "source", "--as", "warm")
    source = _cgroups(chrek, "source")

    chrek("restore", "warm", "--name", "copy", "--on-failure", "fail")

    assert chrek.get("copy")["token"] == chrek.get("source")["token"]
    (line,) = _cgroups(chrek, "copy")
    assert line.startswith("0::/")
    assert {line} != source
    directory = Path("/sys/fs/cgroup", line.removeprefix("0::/"))
    assert int((directory / "memory.max").read_text()) == LIMIT_BYTES
    assert len((directory / "cgroup.procs").read_text().split()) == len(_processes(chrek, "copy"))
    assert int((directory / "memory.current").read_text()) > 4 << 20
    namespaces = {Path(f"/proc/{pid}/ns/cgroup").readlink() for pid in _processes(chrek, "copy")}
    assert len(namespaces) == 1
    assert namespaces != {Path("/proc/self/ns/cgroup").readlink()}


def _processes(chrek: Chrek, name: str) -> list[int]:
    return [found.host_pid for found in process.in_pid_namespace(chrek.init(name))]


def _cgroups(chrek: Chrek, name: str) -> set[str]:
    return {Path(f"/proc/{pid}/cgroup").read_text().strip() for pid in _processes(chrek, name)}
