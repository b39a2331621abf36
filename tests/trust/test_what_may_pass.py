"""Real checkpoints that ask for no more than their container has are restored, with the rights
that the source had: no more, and no less."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.engine.restore import Restored
from agent.kernel import process
from agent.runtime.target import Target
from agent.store import checkpoints
from agent.trust import containers
from chrek.errors import ExceedsError
from chrek.runspec import RunSpec
from tests.machine.conftest import PYTHON, wait_for
from tests.trust.places import PROGRAMS, Place

RIGHTS = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs",
          "Seccomp", "Seccomp_filters")  # fmt: skip


def profile(place: Place, call: str) -> str:
    """A seccomp profile that forbids one system call."""
    path = place.root / f"{call}.json"
    path.write_text(
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":'
        f' [{{"names": ["{call}"], "action": "SCMP_ACT_ERRNO"}}]}}'
    )
    return str(path)


def program(name: str) -> tuple[str, ...]:
    return ("--volume", f"{PROGRAMS}:/own:ro", "--", PYTHON, f"/own/{name}")


def run(place: Place, name: str, *options: str) -> None:
    place("run", "--name", name, *options)
    wait_for(lambda: "ready" in place.log(name), f"{name} to be ready")


def spec_of(place: Place, path: Path) -> RunSpec:
    spec = checkpoints.load(path, place.keys).spec
    assert spec is not None
    return spec


def rights(place: Place, name: str) -> dict[int, dict[str, str]]:
    """What the kernel says of each process below the reaper, by its PID in the container."""
    found: dict[int, dict[str, str]] = {}
    for one in process.in_pid_namespace(place.machine.containers.target(name).init):
        status = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{one.host_pid}/status").read_text().splitlines()
        )
        found[one.pid] = {key: status[key].strip() for key in RIGHTS if key in status}
    del found[1]
    return found


@pytest.fixture(autouse=True)
def _stop_all(place: Place) -> Iterator[None]:
    yield
    for entry in place("ps", "--json").json:
        place("stop", entry["name"])


def test_a_restricted_pod(place: Place) -> None:
    """As Pod Security `restricted` has it."""
    options = ("--user", "1000:1000", "--cap-drop", "ALL", "--read-only")
    options += ("--seccomp", profile(place, "swapon"))
    run(place, "restricted", *options, *program("users.py"))
    place.checkpoint("restricted")
    place("restore", "restricted", "--name", "copy")
    assert rights(place, "copy") == rights(place, "restricted")
    assert {found["Seccomp"] for found in rights(place, "copy").values()} == {"2"}


def test_a_tree_of_several_users_below_root(place: Place) -> None:
    run(place, "users", *program("users.py"))
    before = rights(place, "users")
    assert {found["Uid"].split()[0] for found in before.values()} == {"0", "1000", "1001"}
    assert any(found["CapPrm"] != "0" * 16 and found["Uid"][0] == "1" for found in before.values())
    place.checkpoint("users")
    place("restore", "users", "--name", "copy")
    assert rights(place, "copy") == before


def test_groups_of_the_agent_are_not_those_of_a_task_that_had_none(place: Place) -> None:
    run(place, "groupless", *program("users.py"))
    place.checkpoint("groupless")
    command = place.command("restore", "groupless", "--name", "copy")
    subprocess.run(command, env=place.environment, extra_groups=[4242], check=True, cwd="/")
    assert all("4242" not in found["Groups"] for found in rights(place, "copy").values())


def test_one_of_every_kind_of_open_file(place: Place) -> None:
    run(place, "kinds", *program("kinds.py"))
    place.checkpoint("kinds")
    place("restore", "kinds", "--name", "copy")
    place.inside("copy", "/tmp/ask").touch()
    answer = place.inside("copy", "/tmp/answer")
    wait_for(answer.exists, "the program to answer")
    lines = answer.read_text().splitlines()
    assert lines[:6] == [
        *("in a memfd", "in a pipe", "in a fifo", "in a socket", "deleted but open", "shared")
    ]


def test_another_seccomp_profile_than_the_sources_comes_first(place: Place) -> None:
    """Another runtime writes another program for the same profile."""
    options = ("--user", "1000:1000", "--seccomp", profile(place, "swapon"))
    run(place, "filtered", *options, *program("users.py"))
    path = place.checkpoint("filtered")
    other = msgspec.json.decode(Path(profile(place, "swapoff")).read_bytes())
    spec = msgspec.structs.replace(spec_of(place, path), seccomp=other)
    name, how = place.tried(path, spec)
    assert isinstance(how, Restored), how
    found = rights(place, name)
    assert {one.get("Seccomp_filters", "2") for one in found.values()} == {"2"}


def test_a_restored_tree_is_as_likely_to_be_killed_for_memory_as_its_container(
    place: Place,
) -> None:
    run(place, "likely", *program("users.py"))
    path = place.checkpoint("likely")

    def raised(target: Target) -> None:
        Path(f"/proc/{target.init}/oom_score_adj").write_text("500")

    name, how = place.tried(path, spec_of(place, path), before=raised)
    assert isinstance(how, Restored), how
    for one in process.in_pid_namespace(place.machine.containers.target(name).init):
        assert Path(f"/proc/{one.host_pid}/oom_score_adj").read_text() == "500\n"


def test_limits_are_no_higher_than_the_containers(place: Place) -> None:
    run(place, "limited", *program("users.py"))
    place.checkpoint("limited")
    command = [
        "prlimit",
        "--nofile=900:1000",
        *place.command("restore", "limited", "--name", "copy"),
    ]
    subprocess.run(command, env=place.environment, check=True, cwd="/")
    for one in process.in_pid_namespace(place.machine.containers.target("copy").init):
        text = Path(f"/proc/{one.host_pid}/limits").read_text()
        line = next(row for row in text.splitlines() if row.startswith("Max open files"))
        assert int(line.split()[4]) <= 1000


def test_chrek_init_goes_on_after_its_filters_were_read(place: Place) -> None:
    """Many times in a row: it is as it was, and answers to words."""
    options = ("--seccomp", profile(place, "swapon"))
    run(place, "waiting", *options, *program("users.py"))
    target = place.machine.containers.target("waiting")
    found = {containers.of(target).filters for _ in range(200)}
    assert len(found) == 1
    assert len(found.pop()) == 1
    assert process.read(target.init).tracer == 0
    assert process.read(target.init).state == "S"
    place("checkpoint", "waiting", "--as", "again", "--exit")
    assert place.exit_status("waiting") == 0


def test_where_filters_cannot_be_read_nothing_passes(place: Place) -> None:
    """Somebody traces PID 1 already: the kernel allows one tracer."""
    run(place, "traced", "--seccomp", profile(place, "swapon"), *program("users.py"))
    path = place.checkpoint("traced")
    tracers: list[subprocess.Popen[bytes]] = []

    def traced(target: Target) -> None:
        code = "import ctypes, sys, time; libc = ctypes.CDLL(None)\n"
        code += f"assert libc.ptrace(0x4206, {target.init}, 0, 0) == 0; print(flush=True)\n"
        code += "time.sleep(1000)"
        command = [sys.executable, "-c", code]
        tracers.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        assert tracers[0].stdout is not None
        assert tracers[0].stdout.readline()

    try:
        name, how = place.tried(path, spec_of(place, path), before=traced)
    finally:
        for tracer in tracers:
            tracer.kill()
            tracer.communicate()
    assert isinstance(how, ExceedsError), how
    assert "cannot be read" in how.message
    wait_for(lambda: "ready" in place.log(name), "the cold start")
