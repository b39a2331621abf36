"""What an agent is told, and what it will not be told."""

import logging
import os
from pathlib import Path

import pytest

from agent.node.flags import Flags, parse
from chrek.compression import Compression

from .conftest import NEEDED

WHOLE = (*NEEDED, "--seccomp-dir=/host/seccomp")


def parsed(*flags: str) -> Flags:
    return parse([*WHOLE, *flags])


def test_without_more_than_it_needs_the_defaults_hold() -> None:
    asked = parsed()
    assert asked.node_name == "node-1"
    assert asked.watch_namespace == ""
    assert asked.release_namespace == "chrek-system"
    assert asked.signing_secret == "chrek-signing"
    assert asked.cri_socket is None
    assert asked.seccomp_dir == Path("/host/seccomp")
    assert asked.status_port == 8081
    assert asked.log_level == logging.INFO
    assert asked.sandboxed == ("gvisor", "runsc", "kata", "kata-*")
    assert asked.work.captures == 1
    assert asked.work.idle_wait_seconds == 60
    assert asked.work.files_limit_bytes == 2 << 30
    assert asked.retention.keep == 2
    assert asked.retention.claim_bytes == 0
    assert asked.retention.init_image == "docker.io/chrek/init:0.1.0"
    assert asked.cache.path == Path("/var/cache/chrek")
    assert asked.cache.size_bytes == 20 << 30
    assert asked.compression is None


def test_everything_can_be_said() -> None:
    asked = parsed(
        "--watch-namespace=team-a", "--cri-socket=/run/k0s/containerd.sock", "--status-port=0",
        "--log-level=debug", "--restores=7", "--captures=3", "--idle-wait=0.5",
        "--files-limit=512Mi", "--keep=5", "--claim-bytes=1.5Ti",
        "--node-cache=/fast", "--node-cache-bytes=64Gi",
        "--compression=zstd:7", "--compression-threads=3",
        "--sandboxed-runtime-class=enclave-*", "--sandboxed-runtime-class=vm",
    )  # fmt: skip
    assert asked.watch_namespace == "team-a"
    assert asked.cri_socket == Path("/run/k0s/containerd.sock")
    assert asked.status_port == 0
    assert asked.log_level == logging.DEBUG
    assert asked.sandboxed == ("enclave-*", "vm")
    assert (asked.work.restores, asked.work.captures) == (7, 3)
    assert asked.work.idle_wait_seconds == 0.5
    assert asked.work.files_limit_bytes == 512 << 20
    assert asked.retention.keep == 5
    assert asked.retention.claim_bytes == 3 << 39
    assert asked.compression == Compression("zstd", 7, 3)
    assert (asked.cache.path, asked.cache.size_bytes) == (Path("/fast"), 64 << 30)


@pytest.mark.parametrize("flags", [(), ("--restores=0",)])
def test_as_many_restores_at_once_as_there_are_cores_but_never_one(flags: tuple[str, ...]) -> None:
    assert parsed(*flags).work.restores == max(2, len(os.sched_getaffinity(0)))


def test_one_restore_at_once_is_one_if_it_is_asked_for() -> None:
    assert parsed("--restores=1").work.restores == 1


@pytest.mark.parametrize("missing", WHOLE)
def test_what_it_needs_is_asked_for_by_name(
    missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse([flag for flag in WHOLE if flag != missing])
    assert ended.value.code == 2
    assert missing.partition("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    "flag",
    [
        "--node-name=N",
        "--node-name=../n",
        f"--node-name={'n' * 254}",
        "--watch-namespace=a.b",
        "--release-namespace=",
        "--release-namespace=a/b",
        "--signing-secret=../tls",
        "--signing-secret=",
        "--cri-socket=containerd.sock",
        "--cri-socket=",
        "--cri-socket=unix:///run/containerd.sock",
        "--seccomp-dir=seccomp",
        "--sandboxed-runtime-class=",
        "--sandboxed-runtime-class=[a",
        "--status-port=65536",
        "--status-port=-1",
        "--status-port=8o81",
        "--status-port=٨",
        "--log-level=loud",
        "--restores=-1",
        "--restores=many",
        "--restores=1.5",
        "--captures=0",
        "--idle-wait=-1",
        "--idle-wait=nan",
        "--idle-wait=inf",
        "--idle-wait=1m",
        "--files-limit=-1Gi",
        "--files-limit=2GiB",
        "--claim-bytes=1e12",
        "--claim-bytes=100m",
        "--keep=0",
        "--node-cache=fast",
        "--node-cache-bytes=-1",
        "--compression=gzip",
        "--compression=zstd:0",
        "--compression=lz4:13",
        "--compression-threads=-1",
        "--compression-threads=257",
        "--init-image=",
        "--init-image=--privileged",
        "--init-image=a b",
        "--status=8081",
        "capture",
    ],
)
def test_nonsense_is_refused_with_a_sentence(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(flag)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("chrek-agent: ")
    assert said.count("\n") == 1
    assert flag.partition("=")[0] in said


def test_a_refusal_does_not_repeat_a_book(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(f"--node-name={'N' * 100_000}")
    assert len(capsys.readouterr().err) < 200
