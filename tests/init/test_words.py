"""Waiting and restoring: the agent's words, its silence, adoption, and what may go wrong."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import Container, Process, User, wait_until

WAITS_TO_END = "while [ ! -e end ]; do sleep 0.02; done; exit {}"
GARBAGE = [
    b"\n\n\n", b"hello\n", b"begin now\n", b" begin\n", b"BEGIN\n", b"beg\0in\n", b"begin\r\n",
    b"colder\n", b"exit\n", b"exit \n", b"exit -1\n", b"exit 256\n", b"exit 1 \n", b"exit 0x1\n",
    b"exit 99999999999999999999999\n", b"adopt 2\n", b"expect 2\n", bytes(range(11, 256)) + b"\n",
    b"x" * 5000 + b"\n", b"cold " + b"x" * 252 + b"\n", b"x" * 300 + b"begin\n", b"\xff\xfe%s%n\n",
]  # fmt: skip


def end(container: Container) -> None:
    (container.work / "end").touch()


class TestWaiting:
    def test_begin_announces_a_restore(self, container: Container) -> None:
        container.start("true").begun()
        assert not (container.dir / "waited").exists()
        assert not (container.dir / "ready").exists()
        assert container.init.children == []

    @pytest.mark.parametrize("words", GARBAGE, ids=range(len(GARBAGE)))
    def test_garbage_is_ignored(self, container: Container, words: bytes) -> None:
        container.start("sleep", "1000").comes_to("waiting")
        container.write(words)
        container.init.kill(signal.SIGCHLD)  # awake once more
        wait_until(lambda: container.stderr, "a line about it")
        assert container.init.comm == "chrek:waiting"
        assert container.stderr.startswith("chrek-init: not a word for me now, ignored: ")
        assert (container.dir / "waited").exists()
        container.say("begin")
        container.comes_to("restoring")

    def test_only_a_handful_of_garbage_is_spoken_about(self, container: Container) -> None:
        container.start("sleep", "1000").comes_to("waiting")
        container.say(*["garbage"] * 200)
        container.say("begin")
        container.comes_to("restoring")
        assert container.stderr.count("\n") == 5

    def test_a_word_may_come_in_pieces(self, container: Container) -> None:
        container.start("sleep", "1000").comes_to("waiting")
        for piece in (b"be", b"gi", b"n"):
            container.write(piece)
            time.sleep(0.05)
            assert container.init.comm == "chrek:waiting"
        container.write(b"\n")
        container.comes_to("restoring")

    def test_the_longest_line_that_is_taken_has_256_bytes(self, container: Container) -> None:
        container.start("true").comes_to("waiting")
        container.say("cold " + "x" * 251)
        assert container.exit_code() == 0
        assert "x" * 251 in container.stderr

    def test_exit_ends_the_container(self, container: Container) -> None:
        container.start("true").comes_to("waiting")
        container.say("exit 42")
        assert container.exit_code() == 42

    @pytest.mark.parametrize("state", ["waiting", "restoring"])
    @pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_to_end_is_obeyed(self, container: Container, sig: int, state: str) -> None:
        container.start("true").comes_to("waiting")
        if state == "restoring":
            container.begun()
        planted = container.plant("trap '' TERM INT; sleep 1000")
        assert container.ends_if_stopped_by(sig) == 128 + sig
        assert planted.ended

    def test_every_other_signal_is_ignored(self, container: Container) -> None:
        container.start("true").comes_to("waiting")
        deadly = {signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGSTOP}
        for sig in set(range(1, 65)) - deadly:
            container.init.kill(sig)
        container.say("begin")
        container.comes_to("restoring")

    def test_stray_children_are_reaped(self, container: Container) -> None:
        container.start("true").comes_to("waiting")
        planted = container.plant(WAITS_TO_END.format(1))
        end(container)
        wait_until(lambda: planted.state == "", "its reaping")
        assert container.init.comm == "chrek:waiting"

    def test_a_begin_in_time_wins_over_a_timeout_that_is_noticed_late(
        self, container: Container
    ) -> None:
        container.start("true", timeout=0.6).comes_to("waiting")
        container.init.kill(signal.SIGSTOP)
        container.say("begin")
        time.sleep(1)
        container.init.kill(signal.SIGCONT)
        container.comes_to("restoring")
        assert container.stderr == ""


class TestSilence:
    def test_repeated_begins_hold_the_restore_open_and_their_end_does_not(
        self, container: Container
    ) -> None:
        container.start("sleep", "1000", timeout=1).begun()
        for word in ("begin", *["expect 4000"] * 6):  # more than the 5 s of silence
            time.sleep(1)
            container.say(word)
            assert container.init.comm == "chrek:restoring"

        def running_despite_garbage() -> bool:
            container.say("garbage")
            time.sleep(0.5)
            return container.init.comm == "chrek:running"

        wait_until(running_despite_garbage, "the cold start")
        container.comes_to("running")
        assert "cold start: the node agent fell silent during a restore" in container.stderr


class TestAdoption:
    def test_an_adopted_process_is_the_containers_own(self, container: Container) -> None:
        planted = container.start("false").begun().plant(WAITS_TO_END.format(9))
        container.say(f"expect {planted.pid_inside}", f"adopt {planted.pid_inside}")
        container.comes_to("running")
        assert (container.dir / "ready").exists()
        end(container)
        assert container.exit_code() == 9
        assert container.stderr == ""

    def test_expect_is_not_needed(self, container: Container) -> None:
        planted = container.start("false").begun().plant(WAITS_TO_END.format(9))
        container.say(f"adopt {planted.pid_inside}")
        container.comes_to("running")
        end(container)
        assert container.exit_code() == 9

    def test_signals_reach_an_adopted_process(self, container: Container) -> None:
        script = "trap 'exit 11' USR1; touch trapped; while :; do sleep 0.02; done"
        planted = container.start("false").begun().plant(script)
        container.say(f"adopt {planted.pid_inside}")
        container.comes_to("running")
        wait_until((container.work / "trapped").exists, "the trap")
        assert container.ends_if_stopped_by(signal.SIGUSR1) == 11

    def test_a_reaper_goes_on_below_another_pid_1(self, container: Container) -> None:
        reaper = next(container.dir.glob("reaper-*"))
        script = f"exec {reaper} sh -c 'sleep 1000; exit 1'"
        planted = container.start("false").begun().plant(script)
        wait_until(lambda: [p.comm for p in planted.offspring] == ["sh", "sleep"], "the app")
        container.say(f"adopt {planted.pid_inside}")
        container.comes_to("running")
        orphan = planted.offspring[1]
        planted.children[0].kill()
        assert container.exit_code() == 137
        assert orphan.ended

    def test_the_end_of_an_adopted_process_by_a_signal_is_128_and_more(
        self, container: Container
    ) -> None:
        planted = container.start("false").begun().plant("sleep 1000")
        container.say(f"adopt {planted.pid_inside}")
        container.comes_to("running")
        planted.kill()
        assert container.exit_code() == 137

    @pytest.mark.parametrize("code", [0, 13])
    def test_an_end_between_expect_and_adopt_is_not_lost(
        self, container: Container, code: int
    ) -> None:
        planted = container.start("false").begun().plant(WAITS_TO_END.format(code))
        pid = planted.pid_inside
        container.say(f"expect {pid}")
        end(container)
        wait_until(lambda: planted.ended, "its end")
        other = container.plant("exit 1")
        wait_until(lambda: other.ended, "the end of another")
        container.say("begin", f"expect {pid}", f"adopt {pid}")
        assert container.exit_code() == code

    def test_an_end_that_is_noticed_before_the_word_expect_is_not_lost(
        self, container: Container
    ) -> None:
        planted = container.start("false").begun().plant(WAITS_TO_END.format(14))
        pid = planted.pid_inside
        container.init.kill(signal.SIGSTOP)
        container.say(f"expect {pid}")
        end(container)
        wait_until(lambda: planted.state == "Z", "its end")
        container.init.kill(signal.SIGCONT)
        wait_until(lambda: container.init.state == "S", "sleep")
        container.say(f"adopt {pid}")
        assert container.exit_code() == 14

    def test_a_child_that_nobody_expects_is_just_reaped(self, container: Container) -> None:
        planted = container.start("true").begun().plant(WAITS_TO_END.format(15))
        pid = planted.pid_inside
        container.say(f"expect {pid + 1000}")
        end(container)
        wait_until(lambda: planted.state == "", "its reaping")
        container.say(f"adopt {pid}")
        assert container.exit_code() == 0
        assert f"the restored process is not a child of PID 1: {pid}" in container.stderr

    @pytest.mark.parametrize(
        "pid", ["0", "1", "-5", "99999999999", "4294967298", "30000", "x", "2 3", ""]
    )
    def test_nonsense_is_said_and_leads_to_a_cold_start(
        self, container: Container, pid: str
    ) -> None:
        container.start("sh", "-c", "exit 4").begun().say(f"adopt {pid}")
        assert container.exit_code() == 4
        said = f"cold start: the restored process is not a child of PID 1: {pid}\n"
        assert said in container.stderr

    def test_a_grandchild_is_no_child(self, container: Container) -> None:
        planted = container.start("sh", "-c", "exit 4").begun().plant("sleep 1000; true")
        wait_until(lambda: planted.children, "the grandchild")
        container.say(f"adopt {planted.children[0].pid_inside}")
        assert container.exit_code() == 4
        assert planted.ended

    def test_nonsense_for_expect_changes_nothing(self, container: Container) -> None:
        planted = container.start("false").begun().plant(WAITS_TO_END.format(9))
        container.say("expect 1", "expect -7", "expect x", f"adopt {planted.pid_inside}")
        container.comes_to("running")
        end(container)
        assert container.exit_code() == 9


class TestLeftovers:
    """What a failed restore left in the namespace."""

    def test_they_are_killed_before_a_cold_start(self, container: Container) -> None:
        container.start("sh", "-c", "exit 4").begun()
        planted = container.plant("trap '' TERM; sleep 1000 & setsid sleep 1000 & wait")
        wait_until(lambda: len(planted.children) == 2, "its children")
        every = [planted, *planted.children]
        container.say("cold the restore failed")
        assert container.exit_code() == 4
        assert all(p.ended for p in every)
        assert container.stderr == "chrek-init: cold start: the restore failed\n"

    def test_they_are_gone_when_the_command_starts(self, container: Container) -> None:
        container.start("sh", "-c", "ls -d /proc/[0-9]*").begun()
        planted = container.plant("sleep 1000 & wait")
        left = planted.pid_inside
        container.say("cold")
        assert container.exit_code() == 0
        assert f"/proc/{left}" not in container.stdout.split()
        assert "/proc/1" in container.stdout.split()

    def test_what_may_not_be_killed_ends_the_container_with_75(self, container: Container) -> None:
        if container.user.uid == 0:
            pytest.skip("root may kill all")
        container.start("sh", "-c", "exit 4").begun()
        planted = container.plant("sleep 1000", user=User(0))
        container.say("cold the restore failed")
        assert container.exit_code() == 75
        assert planted.ended  # with the namespace
        assert (container.dir / "waited").exists()
        assert "I may not kill another user's processes" in container.stderr

    @pytest.mark.parametrize("end_of_it", ["cold the restore failed", None, "adopt 4000"])
    def test_once_files_were_written_it_ends_with_75_and_the_next_start_is_cold(
        self, container: Container, end_of_it: str | None
    ) -> None:
        container.start("sh", "-c", "exit 4").begun()
        container.say("files")
        if end_of_it is not None:
            container.say(end_of_it)
        assert container.exit_code() == 75
        assert (container.dir / "waited").exists()
        assert "files of the checkpoint are in this container" in container.stderr

    def test_files_before_a_restore_has_begun_is_no_word(self, container: Container) -> None:
        container.start("sh", "-c", "exit 4").comes_to("waiting")
        container.say("files", "cold then")
        assert container.exit_code() == 4

    def test_a_zombie_of_a_parent_outside_does_not_hold_it_up(self, container: Container) -> None:
        container.start("sleep", "1000").begun()
        enter = ["nsenter", "-t", str(container.init.pid), "-p", *container.user.command]
        outside = subprocess.Popen([*enter, "sleep", "1000"])
        inside = Process(outside.pid)
        try:
            wait_until(lambda: [p.comm for p in inside.children] == ["sleep"], "the process")
            outside.send_signal(signal.SIGSTOP)  # now it reaps nothing
            container.say("cold the restore failed")
            container.comes_to("running")
        finally:
            outside.kill()
            outside.wait(60)


class TestRunning:
    def test_words_for_a_restore_change_nothing(self, container: Container) -> None:
        container.start("sleep", "1000", timeout=0).comes_to("running")
        wait_until(lambda: container.init.offspring[-1].comm == "sleep", "the app")
        main = container.reaper
        planted = container.plant("sleep 1000")
        pid = planted.pid_inside
        container.say("begin", f"expect {pid}", f"adopt {pid}", "cold x")
        wait_until(lambda: not (container.dir / "waited").exists(), "the removal of the mark")
        (container.dir / "waited").touch()
        container.say("begin")
        wait_until(lambda: not (container.dir / "waited").exists(), "the removal of the mark")
        assert container.init.comm == "chrek:running"
        assert not planted.ended
        planted.kill()
        wait_until(lambda: planted.state == "", "its reaping")
        assert not main.ended
        assert container.ends_if_stopped_by(signal.SIGTERM) == 143

    @pytest.mark.parametrize("code", [0, 255])
    def test_exit_kills_all_and_ends_with_its_number(self, container: Container, code: int) -> None:
        script = "trap '' TERM; sleep 1000 & wait; exit 99"
        container.start("sh", "-c", script, timeout=0).comes_to("running")
        wait_until(lambda: len(container.init.offspring) == 3, "the processes")
        every = container.init.offspring
        container.say("exit 256", "exit x", f"exit {code}")
        assert container.exit_code() == code
        assert all(p.ended for p in every)

    def test_it_holds_no_zombies(self, container: Container) -> None:
        container.start("sleep", "1000", timeout=0).comes_to("running")
        for _ in range(5):
            planted = container.plant("sleep 0.05")
            wait_until(lambda planted=planted: planted.state == "", "its reaping")
        assert [p.comm for p in container.init.children] == ["chrek-reaper"]


def test_its_state_is_told_by_its_own_name_only(container: Container) -> None:
    """The agent's acknowledgement: /proc/PID/comm takes writes from the process itself only."""
    container.start("sleep", "1000").comes_to("waiting")
    name = Path(f"/proc/{container.init.pid}/comm")
    with pytest.raises(OSError, match="Invalid argument"):
        name.write_text("chrek:running")
    assert container.init.comm == "chrek:waiting"
