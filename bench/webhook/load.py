"""Load from wrk, in a process of its own: a client in Python would be the slower of the two."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.failures import SideFailedError, UnavailableError

_SCRIPT: Final = Path(__file__).with_name("load.lua")
_END_SECONDS: Final = 10
_GRACE_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Run:
    """One run of wrk. Latencies in seconds, at the load of that run."""

    requests: int
    seconds: float
    p50_seconds: float
    p99_seconds: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True)
class Server:
    """One side that serves."""

    pid: int
    port: int

    @property
    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) << 10


@contextmanager
def serving(side: str, directory: Path) -> Iterator[Server]:
    """Start a side of bench.webhook.server, and end it."""
    command = [sys.executable, "-m", "bench.webhook.server", side, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.strip().isdigit():
                raise SideFailedError(f"the server of {side} did not start")
            yield Server(process.pid, int(line))
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def load(server: Server, body: Path, *, connections: int, seconds: int) -> Run:
    """Send `body` over kept connections to loopback; raises SideFailedError if any answer fails."""
    command = [
        "wrk", "--latency", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(_SCRIPT),
        f"https://127.0.0.1:{server.port}/mutate",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False,
            timeout=seconds + _GRACE_SECONDS, env=os.environ | {"BENCH_BODY": str(body)},
        )  # fmt: skip
    except FileNotFoundError as error:
        raise UnavailableError("wrk is missing: apt-get install wrk") from error
    except subprocess.TimeoutExpired as error:
        raise SideFailedError("wrk did not end in time") from error
    last = done.stdout.strip().rpartition("\n")[2]
    if done.returncode or not last.startswith("{"):
        raise SideFailedError(f"wrk failed: {done.stderr.strip() or done.stdout[-500:]}")
    found = json.loads(last)
    if found["failed"] or not found["requests"]:
        raise SideFailedError(f"{found['failed']} of {found['requests']} requests failed")
    return Run(
        requests=found["requests"],
        seconds=found["microseconds"] / 1e6,
        p50_seconds=found["p50_us"] / 1e6,
        p99_seconds=found["p99_us"] / 1e6,
    )
