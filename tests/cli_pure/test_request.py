"""`chrek run`'s words become a RunSpec or an error that says which word is wrong."""

import os
from pathlib import Path

import pytest

from chrek.cli.parser import parser
from chrek.cli.request import run_spec
from chrek.errors import UsageError
from chrek.runspec import RunSpec, Volume


def asked(*words: str) -> RunSpec:
    return run_spec(
        parser().parse_args(["run", "--name", "web", "--cwd", "/", *words, "--", "app"])
    )


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    return monkeypatch


def test_a_command_alone_gets_safe_defaults(environment: pytest.MonkeyPatch) -> None:
    assert asked() == RunSpec(argv=["app"], env={"PATH": os.defpath}, cwd="/")


def test_a_command_keeps_its_own_options() -> None:
    words = ["run", "--name", "web", "--cwd", "/", "--", "app", "--name", "x", "--", "-v"]
    assert run_spec(parser().parse_args(words)).argv == ["app", "--name", "x", "--", "-v"]


def test_only_harmless_variables_of_this_shell_are_passed(environment: pytest.MonkeyPatch) -> None:
    for name in ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "SECRET", "AWS_SESSION_TOKEN"):
        environment.setenv(name, f"of {name}")
    assert asked().env.keys() == {"PATH", "HOME", "LANG", "LC_ALL", "TZ"}


def test_variables_are_given_or_taken_from_this_shell(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TAKEN", "from the shell")
    environment.setenv("PATH", "/shell")
    env = asked("--env", "A=b=c", "--env", "EMPTY=", "--env", "TAKEN", "--env", "PATH=/mine").env
    assert env == {"PATH": "/mine", "A": "b=c", "EMPTY": "", "TAKEN": "from the shell"}


def test_a_directory_of_this_machine_becomes_a_volume(tmp_path: Path) -> None:
    spec = asked("--volume", f"{tmp_path}:/data", "--volume", f"{tmp_path}:/x/../y//z/:ro")
    assert spec.volumes == [Volume(f"{tmp_path}", "/data"), Volume(f"{tmp_path}", "/y/z", True)]


@pytest.mark.parametrize(
    ("text", "user"), [("0", (0, 0)), ("1000", (1000, 1000)), ("1:2", (1, 2)), ("7:", (7, 7))]
)
def test_users_are_numbers(text: str, user: tuple[int, int]) -> None:
    spec = asked("--user", text)
    assert (spec.uid, spec.gid) == user


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1", 1), ("4k", 4096), ("4K", 4096), ("512m", 512 << 20), ("2g", 2 << 30)],
)
def test_memory_has_units(text: str, size: int) -> None:
    assert asked("--memory", text).memory_bytes == size


def test_a_seccomp_profile_is_read(tmp_path: Path) -> None:
    (tmp_path / "profile").write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    spec = asked("--seccomp", str(tmp_path / "profile"))
    assert spec.seccomp == {"defaultAction": "SCMP_ACT_ALLOW"}


def test_other_words_arrive() -> None:
    spec = asked("--read-only", "--net", "host", "--cap-drop", "CAP_KILL", "--cap-drop", "ALL")
    assert (spec.read_only, spec.network) == (True, "host")
    assert spec.drop_capabilities == ["CAP_KILL", "ALL"]


@pytest.mark.parametrize(
    "words",
    [
        *(("--env", ""), ("--env", "=x"), ("--env", "CHREK_TEST_NOT_SET"), ("--env", "A=\udcff")),
        *(("--volume", "/tmp"), ("--volume", "tmp:/x"), ("--volume", "/tmp:x"), ("--volume", "")),
        *(("--volume", "/tmp:/x:rw"), ("--volume", "/tmp:/x:"), ("--volume", "/nowhere:/x"))[0::2],
        *(("--volume", "/tmp:/"), ("--volume", "/tmp:/x/.."), ("--volume", "/tmp:/chrek")),
        *(("--user", "root"), ("--user", "-1"), ("--user", ""), ("--user", "1:x"), ("--user", "²")),
        *(("--user", f"{1 << 31}"), ("--user", "1:2:3"), ("--user", "1.0")),
        *(("--memory", ""), ("--memory", "k"), ("--memory", "1kk"), ("--memory", "1t")),
        *(("--memory", "-1"), ("--memory", "1.5g"), ("--memory", "²"), ("--memory", "m1")),
        *(("--seccomp", "/nowhere"), ("--seccomp", "/"), ("--seccomp", "/dev/null")),
        *(("--cwd", "relative"), ("--cwd", "/nowhere/at/all")),
    ],
    ids=ascii,
)
def test_words_that_make_no_sense_are_refused_by_name(words: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=words[0]):
        asked(f"{words[0]}={words[1]}")


@pytest.mark.parametrize("profile", ["[]", "{}", "null", '{"a":1}', "{", "\udcff"])
def test_what_is_no_seccomp_profile_is_refused(tmp_path: Path, profile: str) -> None:
    (tmp_path / "profile").write_bytes(os.fsencode(profile))
    with pytest.raises(UsageError, match="--seccomp"):
        asked("--seccomp", str(tmp_path / "profile"))


def test_a_command_that_is_not_text_is_refused() -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        run_spec(parser().parse_args(["run", "--name", "web", "--cwd", "/", "--", "\udcff"]))


def test_a_directory_that_the_container_would_not_see_is_refused_with_the_cure() -> None:
    with pytest.raises(UsageError, match="--volume /proc:/proc"):
        asked("--cwd", "/proc")
    assert asked("--cwd", "/dev/shm/x", "--volume", "/tmp:/dev/shm").cwd == "/dev/shm/x"
