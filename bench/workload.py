"""One run of the service, seen from outside: how it is started, when it answers, what it holds."""

import http.client
import itertools
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.failures import SideFailedError

SERVICE = Path(__file__).with_name("service.py")
PYTHON = Path(sys.executable).resolve()

_POLL_SECONDS = 0.004
_ANSWER_SECONDS = 90.0
# Below the ephemeral range: a client that polls a port of that range can connect to itself.
_RANGE = range(19000, 29000)
# Not all from the first on: what runs beside this one would be given the same, which is free until
# its service listens.
_FIRST = os.getpid() * 101 % len(_RANGE)
_PORTS: Iterator[int] = itertools.cycle([*_RANGE[_FIRST:], *_RANGE[:_FIRST]])


@dataclass(frozen=True, slots=True)
class Workload:
    """A program that serves on 127.0.0.1:`port`, started by the same `argv` on every side. data:
    random, half-zero, zero, weights or text. question: the path that is answered with what it
    holds."""

    size_bytes: int
    port: int
    argv: Sequence[str]
    data: str = "random"
    question: str = "/digest"

    def get(self, path: str) -> str:
        """One answer; raises OSError while there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(f"no HTTP answer: {error}") from error
        finally:
            connection.close()

    def digest(self) -> str:
        """What it answers of all that it holds, once it does."""
        return self._patiently(self.question)

    def wait(self) -> None:
        """Until it serves."""
        self._patiently("/health")

    def _patiently(self, path: str) -> str:
        deadline = time.monotonic() + _ANSWER_SECONDS
        while True:
            try:
                return self.get(path)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise SideFailedError(f"the service does not answer: {error}") from error
                time.sleep(_POLL_SECONDS)


@dataclass
class Answer:
    """When the first answer came: seconds since the wait began, None while there is none."""

    seconds: float | None = None
    _ended: threading.Event = field(default_factory=threading.Event)


@contextmanager
def first_answer(workload: Workload) -> Iterator[Answer]:
    """Ask all the time, beside the block; leaving the block waits for the first answer."""
    answer = Answer()
    started = time.monotonic()
    asking = threading.Thread(target=_ask, args=(workload, answer, started), daemon=True)
    asking.start()
    try:
        yield answer
    except BaseException:
        answer._ended.set()
        raise
    finally:
        asking.join(_ANSWER_SECONDS)


def _ask(workload: Workload, answer: Answer, started: float) -> None:
    while not answer._ended.is_set() and time.monotonic() - started < _ANSWER_SECONDS:
        try:
            workload.get("/")
        except OSError:
            time.sleep(_POLL_SECONDS)
        else:
            answer.seconds = time.monotonic() - started
            return


def installed(work: Path) -> Path:
    """A copy of the service in `work`, readable by anybody."""
    program = work / SERVICE.name
    shutil.copyfile(SERVICE, program)
    program.chmod(0o644)
    return program


def made(size_bytes: int, program: Path, data: str = "random") -> Workload:
    """The service on a port that is free now. program: service.py where containers that show this
    machine's root file system find it."""
    port = free_port()
    mebibytes = str(size_bytes >> 20)
    argv = [str(PYTHON), "-I", "-S", str(program), mebibytes, str(port), data]
    return Workload(size_bytes, port, argv, data)


def free_port() -> int:
    """One that nobody listens on now."""
    for port in _PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError
