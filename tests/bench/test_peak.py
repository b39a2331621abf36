"""How much memory a command and what it started have, together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest

from bench.peak import Peak

SIZE = 64 << 20
HOLDS = "import sys, time; held = bytearray(int(sys.argv[1])); print(flush=True); time.sleep(600)"
HELD = [sys.executable, "-I", "-S", "-c", HOLDS, str(SIZE)]
STARTS = "import subprocess, sys; subprocess.run(sys.argv[1:])"


def seen(command: Sequence[str]) -> int:
    """The peak once the memory is there and was looked at for a while."""
    peak = Peak()
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout
        try:
            with peak.watching(process.pid):
                process.stdout.readline()
                peak.bytes = 0
                deadline = time.monotonic() + 20
                while not peak.bytes and time.monotonic() < deadline:
                    time.sleep(0.01)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    return peak.bytes


def test_what_a_process_has_for_itself_is_counted() -> None:
    assert SIZE <= seen(HELD) < 2 * SIZE


def test_so_is_what_it_started() -> None:
    assert seen([sys.executable, "-I", "-S", "-c", STARTS, *HELD]) >= SIZE


def test_what_runs_in_a_container_is_not(request: pytest.FixtureRequest) -> None:
    apart = ["unshare", "--pid", "--fork", "--kill-child", *HELD]
    if subprocess.run([*apart[:4], "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs root: a PID namespace is made")
    assert 0 < seen(apart) < SIZE
