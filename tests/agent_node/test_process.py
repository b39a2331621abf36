"""The agent's process: what it says, when it is ready, how it ends."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import chrek
from agent.node import profile

from .conftest import Agent, wait_for

PRIVATE_MOUNTS = ("unshare", "--mount", "--")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes namespaces, mounts")


def refused(*flags: str) -> str:
    """What it says to flags that make no sense."""
    asked = [sys.executable, "-m", "agent", *flags]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def descendants(pid: int) -> list[int]:
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has just ended
        return []
    return [below for child in map(int, listed) for below in (child, *descendants(child))]


def command(pid: int) -> bytes:
    """Empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_it_installs_the_profile_whether_or_not_there_is_a_cluster(agent: Agent) -> None:
    agent.start("--watch-namespace", "team")
    wait_for(agent.prepared, "the profile")
    assert agent.profile.read_bytes() == profile.content()
    assert agent.get("/healthz") == (200, "ok\n")
    status = agent.status()
    assert status["node"] == "node-1"
    assert status["watchNamespace"] == "team"
    assert status["version"] == chrek.__version__
    assert status["seccompProfile"] == "installed"


def test_without_a_cluster_it_is_unready_says_so_once_and_tries_again(agent: Agent) -> None:
    agent.start()
    assert "warning" in agent.says("NoCluster")
    wait_for(agent.prepared, "the profile")
    assert agent.get("/readyz")[0] == 503
    assert "no Kubernetes cluster" in agent.status()["work"]
    assert len(agent.lines("NoCluster")) == 1
    assert agent.get("/healthz")[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0(agent: Agent, number: signal.Signals) -> None:
    agent.start().says("profile-installed")
    assert agent.ends(number) == 0
    assert agent.lines(" ending")
    assert "Traceback" not in agent.log


@needs_root
def test_a_signal_at_any_moment_of_its_start_ends_it_with_0(agent: Agent) -> None:
    # As PID 1, as in a pod without hostPID: the kernel drops what has no handler yet.
    agent.start(prefix=("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--"))
    wait_for(lambda: descendants(agent.pid), "PID 1")
    inside = descendants(agent.pid)[0]

    def asked_to_end() -> bool:
        with suppress(ProcessLookupError):
            os.kill(inside, signal.SIGTERM)
        return agent.ended

    wait_for(asked_to_end, "the end")
    assert agent.process is not None
    assert agent.process.returncode == 0, agent.log


def test_it_ends_while_a_question_hangs_and_leaves_no_process(
    agent: Agent, hanging_bundle: Path
) -> None:
    agent.environment["CHREK_CRIU_BUNDLE"] = str(hanging_bundle)
    agent.start().says("profile-installed")

    def criu_was_asked() -> list[int]:
        commands = {
            pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in descendants(agent.pid)
        }
        return [pid for pid, command in commands.items() if b"3600" in command]

    wait_for(criu_was_asked, "the question that hangs")
    below = descendants(agent.pid)
    assert agent.prepared()
    assert agent.ends() == 0
    wait_for(lambda: not any(map(command, below)), "its processes to end")


def test_it_ends_with_clients_that_never_finish_asking(agent: Agent) -> None:
    agent.start().says("profile-installed")
    with (
        socket.create_connection(("127.0.0.1", agent.port)) as slow,
        socket.create_connection(("127.0.0.1", agent.port)),
    ):
        slow.sendall(b"GET /readyz HTTP/1.1\r\nHost: ")
        assert agent.ends() == 0


def test_it_serves_both_families_where_the_kernel_has_both(agent: Agent) -> None:
    agent.start().says("profile-installed")
    families = ["127.0.0.1"]
    if Path("/proc/net/if_inet6").is_file() and "lo" in Path("/proc/net/if_inet6").read_text():
        families.append("::1")
    for address in families:
        with socket.create_connection((address, agent.port)) as client:
            client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.0 200")


def test_each_answer_is_logged_once_and_a_no_with_its_cure(agent: Agent) -> None:
    nowhere = {"CHREK_INIT": "/nowhere/init", "CHREK_CRIU_BUNDLE": "/nowhere/criu"}
    agent.environment.update(nowhere)
    agent.start()
    wait_for(lambda: agent.status()["answers"], "the answers")
    by_question = {answer["question"]: answer for answer in agent.status()["answers"]}
    assert by_question["CRIU"]["verdict"] == "no"
    assert by_question["CRIU"]["cure"]
    assert by_question["kernel"]["verdict"] == "yes"
    for question in by_question:
        shown = f'question="{question}" ' if " " in question else f"question={question} "
        agent.says(shown)
        assert len(agent.lines(shown)) == 1
    assert "warning" in agent.says("question=CRIU ", "answer=no", "cure=")
    assert "info" in agent.says("question=kernel ", "answer=yes")
    assert agent.prepared(), "a `no` does not hold up a roll-out"


def test_what_only_one_machine_needs_is_not_asked_of_a_node(agent: Agent) -> None:
    agent.start()
    wait_for(lambda: agent.status()["answers"], "the answers")
    assert not {"runc", "network tools"} & {a["question"] for a in agent.status()["answers"]}


def test_it_is_unready_and_says_why_until_the_directory_can_be_written(agent: Agent) -> None:
    (agent.seccomp_dir / "chrek").write_text("a file in the way")
    agent.start()
    assert "warning" in agent.says("ProfileNotInstalled", str(agent.profile))
    assert agent.get("/readyz")[0] == 503
    assert str(agent.profile) in agent.status()["seccompProfile"]
    assert agent.get("/healthz")[0] == 200
    (agent.seccomp_dir / "chrek").unlink()
    wait_for(agent.prepared, "the profile")
    assert len(agent.lines("ProfileNotInstalled")) == 1, "said once, however often it is tried"
    assert agent.ends() == 0


def test_a_missing_directory_is_named_and_waited_for(agent: Agent) -> None:
    agent.seccomp_dir.rmdir()
    agent.start().says("ProfileNotInstalled", "No such file or directory")
    assert not agent.prepared()
    agent.seccomp_dir.mkdir()
    wait_for(agent.prepared, "the profile")


@needs_root
def test_a_read_only_mount_is_named_and_waited_for(agent: Agent) -> None:
    mount = ("sh", "-c", 'mount -t tmpfs -o ro none "$0" && exec "$@"', str(agent.seccomp_dir))
    agent.start(prefix=(*PRIVATE_MOUNTS, *mount))
    agent.says("ProfileNotInstalled", "Read-only file system")
    assert not agent.prepared()
    remount = ["mount", "-o", "remount,rw", str(agent.seccomp_dir)]
    subprocess.run(["nsenter", "--mount", f"--target={agent.pid}", *remount], check=True)
    wait_for(agent.prepared, "the profile")


def test_a_taken_port_ends_it_with_a_sentence(agent: Agent) -> None:
    with socket.create_server(("", 0)) as taken:
        agent.start("--status-port", str(taken.getsockname()[1]))
        assert agent.process is not None
        assert agent.process.wait(60) == 1
    assert "PortTaken" in agent.log
    assert agent.log.count("\n") == 1


def test_nonsense_is_refused_with_a_sentence() -> None:
    said = refused("--node-name", "../n")
    assert said.startswith("chrek-agent: ")
    assert said.count("\n") == 1
