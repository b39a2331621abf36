"""Programs that are always awaited, also when the benchmark is interrupted."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from bench.failures import SideFailedError, UnavailableError

_LIMIT_SECONDS = 600.0  # 64 GiB of a GPU, through CRIU
_GRACE_SECONDS = 10.0
_TOLD_CHARACTERS = 300

Beside = Callable[[int], AbstractContextManager[None]]
"""What is done while a program runs, given its PID."""


def _nothing(_: int) -> AbstractContextManager[None]:
    return nullcontext()


def output(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    beside: Beside = _nothing,
) -> str:
    """What a program printed; raises SideFailedError with its last words when it fails."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            cwd=cwd,
            start_new_session=True,  # a Ctrl-C is for the benchmark, which then ends this
        )
    except FileNotFoundError as error:
        raise UnavailableError(f"{argv[0]} is not installed") from error
    try:
        with beside(process.pid):
            printed, complained = process.communicate(timeout=_LIMIT_SECONDS)
    except subprocess.TimeoutExpired as error:
        _end(process)
        raise SideFailedError(f"{argv[0]} took more than {_LIMIT_SECONDS:.0f} s") from error
    except BaseException:
        _end(process)
        raise
    if process.returncode:
        said = " ".join((complained.strip() or printed.strip()).split())[-_TOLD_CHARACTERS:]
        raise SideFailedError(f"{Path(argv[0]).name} ended with {process.returncode}: {said}")
    return printed


def timed(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    beside: Beside = _nothing,
) -> tuple[float, str]:
    """Wall seconds of a program from start to end, and what it printed."""
    started = time.monotonic()
    printed = output(argv, env=env, cwd=cwd, beside=beside)
    return time.monotonic() - started, printed


def _end(process: subprocess.Popen[str]) -> None:
    """SIGTERM first: chrek and Podman then undo what they began."""
    process.terminate()
    try:
        process.communicate(timeout=_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
