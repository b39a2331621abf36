"""chrek-reaper by itself: what stands between PID 1 and the app."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import PYTHON, Process, User, read, wait_until

Start = Callable[..., subprocess.Popen[str]]
FORWARDED = [s for s in range(1, 65) if s not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD)]
NOTES_EVERY_SIGNAL = """
import os, signal, sys
note = lambda sig, frame: os.write(1, b"%d\\n" % sig)
for sig in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    signal.signal(sig, note)
os.write(1, b"prepared\\n")
while True:
    signal.pause()
"""
# Not with a shell: dash catches SIGCHLD whatever its trap says. Python itself ignores two others.
IGNORES_CHLD_AND_HUP = """
import os, signal, sys
for sig, how in {"CHLD": signal.SIG_IGN, "HUP": signal.SIG_IGN, "PIPE": 0, "XFSZ": 0}.items():
    signal.signal(signal.Signals["SIG" + sig], how)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def start(user: User, top: Path, built: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def starting(*command: str | Path, **more: object) -> subprocess.Popen[str]:
        with (top / "out").open("w") as out, (top / "err").open("w") as err:
            reaper = subprocess.Popen(
                [*user.command, built / "chrek-reaper", *command],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=top / "work", text=True,
                **more,
            )  # fmt: skip
        started.append(reaper)
        return reaper

    yield starting
    for reaper in started:
        for process in (*Process(reaper.pid).offspring, Process(reaper.pid)):
            if not process.ended:
                process.kill()
        reaper.wait(60)


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_it_ends_with_the_code_of_the_app(start: Start, code: int) -> None:
    assert start("sh", "-c", f"exit {code}").wait(60) == code


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, 34, 64])
def test_it_ends_with_128_and_the_signal_that_ended_the_app(start: Start, sig: int) -> None:
    assert start("sh", "-c", f"kill -{int(sig)} $$").wait(60) == 128 + sig


def test_a_missing_command_is_127_and_said(start: Start, top: Path) -> None:
    # With a PATH that uid 1000 can search to its end, else "not permitted" is all that is known.
    assert start("no-such-command", env={"PATH": "/usr/bin:/bin"}).wait(60) == 127
    assert read(top / "err").startswith("chrek-reaper: no-such-command: it, or the interpreter")
    assert read(top / "err").count("\n") == 1


@pytest.mark.parametrize("mode", [0o644, 0o755], ids=["no permission", "no program"])
def test_what_cannot_be_executed_is_126_and_said(start: Start, top: Path, mode: int) -> None:
    (top / "thing").write_text("neither script nor program")
    (top / "thing").chmod(mode)
    assert start(top / "thing").wait(60) == 126
    assert read(top / "err").startswith(f"chrek-reaper: {top / 'thing'}: not executable")


def test_no_command_is_bad_usage(start: Start) -> None:
    assert start().wait(60) == 2


def test_every_signal_that_can_be_forwarded_reaches_the_app(start: Start, top: Path) -> None:
    reaper = start(PYTHON, "-c", NOTES_EVERY_SIGNAL)
    wait_until(lambda: read(top / "out") == "prepared\n", "the app's handlers")
    for sig in FORWARDED:
        if sig in (32, 33):  # glibc keeps these: no handler can be set from Python
            continue
        reaper.send_signal(sig)
        wait_until(lambda sig=sig: f"\n{sig}\n" in read(top / "out"), f"signal {sig}")
    assert reaper.poll() is None


@pytest.mark.parametrize("sig", [32, 33])
def test_the_two_signals_that_no_library_lets_one_handle_are_forwarded(
    start: Start, sig: int
) -> None:
    reaper = start("sleep", "1000")
    wait_until(lambda: [p.comm for p in Process(reaper.pid).children] == ["sleep"], "the app")
    os.kill(reaper.pid, sig)
    assert reaper.wait(60) == 128 + sig


def test_sigchld_is_not_forwarded(start: Start, top: Path) -> None:
    reaper = start(PYTHON, "-c", NOTES_EVERY_SIGNAL.replace(", signal.SIGCHLD}", "}"))
    wait_until(lambda: read(top / "out") == "prepared\n", "the app's handlers")
    reaper.send_signal(signal.SIGCHLD)
    reaper.send_signal(64)  # taken after SIGCHLD, so SIGCHLD would have been noted by now
    wait_until(lambda: "64" in read(top / "out"), "the later signal")
    assert read(top / "out") == "prepared\n64\n"


def test_it_is_small_enough_for_criu(start: Start) -> None:
    reaper = start("sleep", "1000")
    wait_until(lambda: Process(reaper.pid).comm == "chrek-reaper", "its name")
    wait_until(lambda: Process(reaper.pid).children, "the app")
    assert {p.name for p in Path(f"/proc/{reaper.pid}/fd").iterdir()} == {"0", "1", "2"}
    assert len(list(Path(f"/proc/{reaper.pid}/task").iterdir())) == 1


def test_the_app_leads_a_session_of_its_own(start: Start) -> None:
    reaper = start("sleep", "1000")
    wait_until(lambda: [p.comm for p in Process(reaper.pid).children] == ["sleep"], "the app")
    app = Process(reaper.pid).children[0].pid
    assert os.getsid(app) == app
    assert os.getsid(reaper.pid) == reaper.pid


@pytest.mark.parametrize("way", ["{} &", "setsid {} &"], ids=["orphaned", "daemonized"])
def test_what_the_app_leaves_behind_stays_below_it_and_is_reaped(start: Start, way: str) -> None:
    reaper = start("sh", "-c", f"( {way.format('sleep 4321')} ) ; exec sleep 1234")

    def orphans() -> list[Process]:
        return [p for p in Process(reaper.pid).children if p.command == ["sleep", "4321"]]

    wait_until(orphans, "the orphan as a child of the reaper")
    orphan = orphans()[0]
    orphan.kill()
    wait_until(lambda: orphan.state == "", "the reaping of the orphan")
    assert reaper.poll() is None


def test_it_works_even_if_started_with_sigchld_ignored(start: Start, built: Path) -> None:
    reaper = str(built / "chrek-reaper")
    ignoring = start(
        PYTHON, "-c", IGNORES_CHLD_AND_HUP, reaper, "sh", "-c", "sh -c 'exit 4'; exit 5"
    )
    assert ignoring.wait(60) == 5
