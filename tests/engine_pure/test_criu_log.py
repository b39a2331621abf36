"""Of CRIU's log a person sees what failed, and what it means where that is known."""

import os
from pathlib import Path

import pytest

from agent.criu import log

HARMLESS = (
    "(00.010000) Error (criu/tun.c:84): tun: Unable to create tun: No such file or directory\n"
    "(00.020000) Error (criu/rlimit.c:12): Can't setup RLIMIT_NOFILE for self\n"
)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "restore.log"


def test_only_errors_are_told_and_harmless_ones_are_not(written: Path) -> None:
    written.write_text(
        "(00.000000) Version: 4.2\n"
        + HARMLESS
        + "(00.030000) Warn  (criu/x.c:1): Errors may follow\n"
        "(00.031000)   1000: Error (criu/files.c:5): Can't open file /x\n"
        "(00.032000) Error (criu/cr-restore.c:9): Restoring FAILED.\n"
    )
    assert log.errors(written) == [
        "(00.031000)   1000: Error (criu/files.c:5): Can't open file /x",
        "(00.032000) Error (criu/cr-restore.c:9): Restoring FAILED.",
    ]
    assert log.told("message", written) == "Error (criu/files.c:5): Can't open file /x"


def test_of_many_errors_the_last_are_kept(written: Path) -> None:
    written.write_text("".join(f"(00.1) Error (a.c:1): {n}\n" for n in range(100)))
    assert [line[-2:] for line in log.errors(written, most=3)] == ["97", "98", "99"]


def test_a_log_without_errors_leaves_crius_message(written: Path) -> None:
    written.write_text(HARMLESS)
    assert log.told("error -52", written) == "error -52"


def test_a_log_that_is_not_there_or_not_text_is_no_failure_of_its_own(written: Path) -> None:
    assert log.errors(written) == []
    assert log.told("error 3", written) == "error 3"
    written.write_bytes(b"\xff\xfe Error (\xff)\n" + os.urandom(1000))
    assert log.errors(written)[0].startswith("\ufffd\ufffd Error")


def test_of_an_endless_log_the_end_is_read(written: Path) -> None:
    with written.open("wb") as file:
        file.write(b"(00.1) Error (a.c:1): early\n")
        file.truncate(1 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"\n(00.2) Error (a.c:1): late\n")
    assert log.errors(written) == ["(00.2) Error (a.c:1): late"]


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("1000: Error (cr-restore.c:1): Can't fork for 1000: File exists", "a PID of the image"),
        ("Error (sk-inet.c:8): inet: Can't bind inet socket (id 7)", "an address or port is taken"),
        ("Error (files-reg.c:1): File x has bad size 5 (expect 6)", "a file differs"),
        ("Error (files-reg.c:1): File x has bad build-ID length", "a file differs"),
        ("Error (proc_parse.c:1): io_uring is not supported", "CRIU cannot dump io_uring"),
        ("Error (cr-dump.c:1): Can't get rlimit 7", "CAP_SYS_RESOURCE is missing"),
        ("Error (tty.c:1): Can't get 1:16 opt", "this kernel needs CRIU 4.2"),
    ],
)
def test_a_known_cause_is_explained_with_crius_words_behind(
    written: Path, said: str, meaning: str
) -> None:
    written.write_text(f"(00.030000) {said}\n(00.040000) Error (z.c:1): FAILED\n")
    told = log.told("message", written)
    assert told.startswith(meaning)
    assert told.endswith(f"({said.removeprefix('1000: ')})")


def test_a_log_is_kept_where_the_hint_says(written: Path, tmp_path: Path) -> None:
    written.write_text("words")
    place = tmp_path / "logs" / "web-restore.log"
    assert log.keep(written, place) == f"CRIU's log: {place}"
    assert place.read_text() == "words"
    assert log.keep(tmp_path / "absent", place) == ""
    assert log.keep(written, written / "below") == ""
