"""A cold start: what makes one, and what the command finds when it runs."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from .conftest import PYTHON, Container, Process, User, wait_until
from .test_reaper import FORWARDED, IGNORES_CHLD_AND_HUP, NOTES_EVERY_SIGNAL

BLOCKS_USR1 = (
    "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]);"
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


def test_without_a_word_the_command_starts_after_the_timeout(container: Container) -> None:
    assert container.start("sh", "-c", "exit 7", timeout=0.2).exit_code() == 7
    assert "cold start: no word from the node agent within the timeout" in container.stderr
    assert (container.dir / "waited").exists()


def test_the_word_cold_starts_the_command_and_its_reason_is_said(container: Container) -> None:
    container.start("sh", "-c", "exit 3").comes_to("waiting")
    assert (container.dir / "waited").exists()
    container.say("cold no \x1b[31mvariant fits")
    assert container.exit_code() == 3
    assert container.stderr == "chrek-init: cold start: no ?[31mvariant fits\n"
    assert not (container.dir / "waited").exists()


def test_a_container_that_waited_in_vain_does_not_wait_again(container: Container) -> None:
    (container.dir / "waited").touch()
    container.start("sleep", "1000").comes_to("running")
    assert (container.dir / "waited").exists()
    container.say("cold")  # the agent is alive: the next start may wait again
    wait_until(lambda: not (container.dir / "waited").exists(), "the removal of the mark")
    assert [p.comm for p in container.init.children] == ["chrek-reaper"]


def test_ready_means_that_the_command_runs(container: Container) -> None:
    (container.dir / "ready").touch()  # of an earlier start
    container.start("sleep", "1000").comes_to("waiting")
    assert not (container.dir / "ready").exists()
    container.say("cold")
    container.comes_to("running")
    assert (container.dir / "ready").exists()


@pytest.mark.parametrize("code", [0, 1, 255])
def test_it_ends_with_the_code_of_the_command(container: Container, code: int) -> None:
    assert container.start("sh", "-c", f"exit {code}", timeout=0).exit_code() == code


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL, 64])
def test_it_ends_with_128_and_the_signal_of_the_command(container: Container, sig: int) -> None:
    assert container.start("sh", "-c", f"kill -{int(sig)} $$", timeout=0).exit_code() == 128 + sig


def test_a_reaper_that_is_killed_ends_the_container_with_137(container: Container) -> None:
    container.start("sleep", "1000", timeout=0).comes_to("running")
    wait_until(lambda: any(p.comm == "sleep" for p in container.init.offspring), "the app")
    container.reaper.kill()
    assert container.exit_code() == 137


def test_a_missing_command_is_127(container: Container) -> None:
    assert container.start(f"{container.work}/missing", timeout=0).exit_code() == 127
    assert "missing: it, or the interpreter that it names, was not found" in container.stderr


def test_a_command_that_cannot_be_executed_is_126(container: Container) -> None:
    (container.work / "thing").write_text("#!/bin/sh\n")
    assert container.start(f"{container.work}/thing", timeout=0).exit_code() == 126


def test_every_signal_that_can_be_forwarded_reaches_the_command(container: Container) -> None:
    assert PYTHON
    container.start(PYTHON, "-c", NOTES_EVERY_SIGNAL, timeout=0)
    wait_until(lambda: container.stdout == "prepared\n", "the command's handlers")
    for sig in sorted(set(FORWARDED) - {32, 33}):
        container.init.kill(sig)
        wait_until(lambda sig=sig: f"\n{sig}\n" in container.stdout, f"signal {sig}")
    container.init.kill(signal.SIGCHLD)
    container.init.kill(32)  # no handler is possible: it ends the command
    assert container.exit_code() == 128 + 32
    assert f"\n{int(signal.SIGCHLD)}\n" not in container.stdout


def test_a_log_that_nobody_reads_does_not_signal_the_command(container: Container) -> None:
    broken = ("sh", "-c", 'exec 2>&- 3<>"$0/pipe" 2>"$0/pipe" 3>&-; exec "$@"', str(container.work))
    os.mkfifo(container.work / "pipe")
    (container.work / "pipe").chmod(0o666)
    container.start("sleep", "1000", timeout=0, prefix=broken).comes_to("running")
    container.say("nonsense")  # said on stderr, which raises SIGPIPE
    container.say("cold", "nonsense")
    wait_until(lambda: not (container.dir / "waited").exists(), "the word after the nonsense")
    assert container.ends_if_stopped_by(signal.SIGTERM) == 143


def test_the_command_and_its_reaper_have_pids_from_1000(container: Container) -> None:
    container.start("sh", "-c", "echo $$ $PPID; exec sleep 1000", timeout=0).comes_to("running")
    wait_until(lambda: container.stdout.endswith("\n"), "the PIDs")
    app, reaper = map(int, container.stdout.split())
    assert app > reaper >= 1000
    assert container.reaper.pid_inside == reaper


def test_nothing_is_reserved_where_pids_are_high_already(container: Container) -> None:
    container.start("sh", "-c", "echo $$; exec sleep 1000").comes_to("waiting")
    forks = "while [ $(sh -c 'echo $$') -lt 2000 ]; do :; done"
    subprocess.run(["nsenter", "-t", str(container.init.pid), "-p", "sh", "-c", forks], check=True)
    container.say("cold")
    wait_until(lambda: container.stdout.endswith("\n"), "the PID")
    assert 2000 < int(container.stdout) < 2000 + 20  # not another thousand


def test_the_command_gets_just_the_descriptors_that_were_given(container: Container) -> None:
    with (container.top / "extra").open("w") as extra:
        container.start("ls", "/proc/self/fd", timeout=0, keep=(extra.fileno(),))
        assert container.exit_code() == 0
        listed = set(container.stdout.split())
        assert str(extra.fileno()) in listed
        # ls itself has the directory open, at the lowest number that is free
        assert len(listed - {"0", "1", "2", str(extra.fileno())}) == 1
        assert max(map(int, listed)) <= extra.fileno() + 1


def test_the_command_gets_nothing_more_when_stdio_was_closed(container: Container) -> None:
    closed = ("sh", "-c", 'exec "$@" <&- 2>&-', "sh")
    container.start("ls", "/proc/self/fd", timeout=0, prefix=closed)
    assert container.exit_code() == 0
    assert container.stdout.split() == ["0", "1"]  # 0 is the directory that ls lists


def test_no_signal_is_blocked_for_the_command(container: Container) -> None:
    container.start("grep", "-E", "^Sig(Blk|Ign|Pnd)", "/proc/self/status", timeout=0).exit_code()
    masks = dict(line.split() for line in container.stdout.splitlines())
    assert set(masks.values()) == {"0" * 16}
    assert len(masks) == 3


def test_the_mask_that_was_inherited_is_given_on(container: Container) -> None:
    prefix = (str(PYTHON), "-c", BLOCKS_USR1)
    container.start("grep", "^SigBlk", "/proc/self/status", timeout=0, prefix=prefix).exit_code()
    assert int(container.stdout.split()[1], 16) == 1 << (signal.SIGUSR1 - 1)


def test_ignored_signals_stay_ignored_and_statuses_are_kept(container: Container) -> None:
    script = "grep ^SigIgn /proc/self/status; exit 6"
    prefix = (str(PYTHON), "-c", IGNORES_CHLD_AND_HUP)
    container.start("sh", "-c", script, timeout=0, prefix=prefix)
    assert container.exit_code() == 6
    assert int(container.stdout.split()[1], 16) == 1 << (signal.SIGHUP - 1)


def test_environment_directory_umask_and_arguments_are_left_alone(container: Container) -> None:
    prefix = ("sh", "-c", 'umask 0077; exec env -i A=1 B="2 3" "$@"', "sh")
    script = 'pwd; umask; echo "$A|$B|$0|$@"; tr "\\0" "\\n" </proc/$$/environ'
    container.start("/bin/sh", "-c", script, "a b", "", "--", timeout=0, prefix=prefix).exit_code()
    expected = [str(container.work), "0077", "1|2 3|a b| --", "A=1", "B=2 3"]
    assert container.stdout.splitlines() == expected


def test_what_is_orphaned_stays_below_the_reaper(container: Container) -> None:
    script = "( setsid sleep 4321 & ) ; exec sleep 1234"
    container.start("sh", "-c", script, timeout=0).comes_to("running")

    def sleepers() -> list[Process]:
        return [p for p in container.reaper.children if p.comm == "sleep"]

    wait_until(lambda: len(sleepers()) == 2, "the orphan as a child of the reaper")
    app, orphan = sorted(sleepers(), key=lambda p: p.pid_inside)
    orphan.kill()
    wait_until(lambda: orphan.state == "", "the reaping of the orphan")
    app.kill(signal.SIGUSR1)
    assert container.exit_code() == 128 + signal.SIGUSR1


def test_the_end_of_the_command_ends_all_that_it_left_behind(container: Container) -> None:
    script = "sleep 4321 & while [ ! -e end ]; do sleep 0.05; done; exit 2"
    container.start("sh", "-c", script, timeout=0).comes_to("running")

    def left_behind() -> list[Process]:
        return [p for p in container.init.offspring if p.command == ["sleep", "4321"]]

    wait_until(left_behind, "what is to be left behind")
    left = left_behind()[0]
    (container.work / "end").touch()
    assert container.exit_code() == 2
    assert left.ended


class TestTheReapersFile:
    """It is looked for in DIR, then beside chrek-init, then written anew."""

    def reaper_in(self, directory: Path) -> Path:
        return next(directory.glob("reaper-*"))

    def runs_from(self, container: Container) -> str:
        container.comes_to("running")
        wait_until(lambda: container.init.children, "the reaper")
        wait_until(lambda: container.init.children[0].comm == "chrek-reaper", "its name")
        return str(Path(f"/proc/{container.init.children[0].pid}/exe").readlink())

    def test_it_is_run_from_dir(self, container: Container) -> None:
        container.start("sleep", "1000", timeout=0)
        assert self.runs_from(container) == str(self.reaper_in(container.dir))

    @pytest.mark.parametrize("damage", ["missing", "short", "altered", "no mode"])
    def test_it_is_written_anew(self, container: Container, built: Path, damage: str) -> None:
        file = self.reaper_in(container.dir)
        if damage == "missing":
            file.unlink()
        elif damage == "short":
            file.write_bytes(file.read_bytes()[:-1])
        elif damage == "altered":
            file.write_bytes(file.read_bytes()[:-1] + b"!")
        else:
            file.chmod(0o644)
        container.start("sleep", "1000", timeout=0, init=built / "chrek-init")
        assert self.runs_from(container) == str(file)
        assert file.read_bytes() == (built / "chrek-reaper").read_bytes()

    def test_it_is_found_beside_chrek_init(self, container: Container) -> None:
        other = container.top / "other"
        shutil.move(container.dir, other)
        container.dir.mkdir()
        os.chown(container.dir, container.user.uid, container.user.uid)
        container.start("sleep", "1000", timeout=0, init=other / "chrek-init")
        assert self.runs_from(container) == str(self.reaper_in(other))

    def test_without_it_the_command_still_runs(self, container: Container, built: Path) -> None:
        container.start("sh", "-c", "exit 8", directory="/proc", init=built / "chrek-init")
        assert container.exit_code() == 8
        assert "this container cannot be checkpointed" in container.stderr

    def test_without_it_a_missing_command_is_127(self, container: Container, built: Path) -> None:
        missing = f"{container.work}/missing"
        container.start(missing, directory="/proc", init=built / "chrek-init")
        assert container.exit_code() == 127
        assert f"chrek-init: cannot run {missing}: " in container.stderr


class TestADamagedDirectory:
    """The worst that may come of it is a cold start."""

    def test_a_missing_one_is_a_cold_start_at_once(self, container: Container) -> None:
        container.start("sh", "-c", "exit 5", directory="/nowhere")
        assert container.exit_code() == 5
        assert "no FIFO can be made for the node agent: No such file" in container.stderr

    def test_a_read_only_one_is_a_cold_start_at_once(self, container: Container) -> None:
        prefix: tuple[str, ...] = ()
        if container.user.uid:
            os.chown(container.dir, 0, 0)
        else:
            mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
            prefix = ("sh", "-c", mount, str(container.dir))
        assert container.start("sh", "-c", "exit 5", prefix=prefix).exit_code() == 5
        assert "no FIFO can be made" in container.stderr

    def test_a_directory_in_the_fifos_place_is_a_cold_start_at_once(
        self, container: Container
    ) -> None:
        (container.dir / "ctl").mkdir()
        assert container.start("sh", "-c", "exit 5").exit_code() == 5

    @pytest.mark.parametrize("kind", ["file", "link", "fifo"])
    def test_anything_else_in_the_fifos_place_is_replaced(
        self, container: Container, kind: str
    ) -> None:
        ctl, target = container.dir / "ctl", container.work / "target"
        target.write_text("mine")
        if kind == "file":
            ctl.write_text("begin\n")
        elif kind == "link":
            ctl.symlink_to(target)
        else:
            os.mkfifo(ctl, 0o666)
        container.start("sh", "-c", "exit 5").comes_to("waiting")
        assert ctl.lstat().st_mode == 0o010600
        assert target.read_text() == "mine"
        container.say("cold")
        assert container.exit_code() == 5

    def test_a_fifo_in_a_marks_place_does_not_hold_it_up(self, container: Container) -> None:
        container.start("sh", "-c", "exit 5").comes_to("waiting")
        os.mkfifo(container.dir / "ready", 0o666)
        container.say("cold")
        assert container.exit_code() == 5

    def test_a_fifo_that_is_removed_while_waiting_leads_to_the_timeout(
        self, container: Container
    ) -> None:
        container.start("sh", "-c", "exit 5", timeout=1).comes_to("waiting")
        (container.dir / "ctl").unlink()
        assert container.exit_code() == 5

    def test_a_directory_that_is_removed_leads_to_the_timeout(
        self, container: Container, built: Path
    ) -> None:
        container.start("sh", "-c", "exit 5", timeout=1, init=built / "chrek-init")
        container.comes_to("waiting")
        shutil.rmtree(container.dir)
        assert container.exit_code() == 5

    def test_nothing_that_happens_to_the_fifo_makes_it_spin(self, container: Container) -> None:
        container.start("sleep", "1000").comes_to("waiting")
        container.say("cold")
        container.comes_to("running")
        for what in ("written and closed", "truncated", "removed", "replaced"):
            if what == "removed":
                (container.dir / "ctl").unlink()
            elif what == "replaced":
                (container.dir / "ctl").write_text("begin\n")
            else:
                container.write(b"half a line")
            before = container.init.cpu_ticks
            wait_until(lambda: container.init.state == "S", "sleep")
            signal.sigtimedwait([signal.SIGRTMAX], 0.3)
            assert container.init.cpu_ticks - before < 10  # of 30: it would take them all


def test_outside_a_pid_namespace_it_kills_nobody(user: User, top: Path, built: Path) -> None:
    """Only PID 1 may ever say kill(-1)."""
    bystander = subprocess.Popen([*user.command, "sleep", "1000"])
    try:
        done = subprocess.run(
            [*user.command, built / "chrek-init", "wait", "--dir", top / "chrek", "--timeout", "0",
             "--", "sh", "-c", "exit 9"], check=False, timeout=60, capture_output=True,
        )  # fmt: skip
        assert done.returncode == 9
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait(60)
