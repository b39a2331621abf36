"""The command line explains itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from chrek import __version__
from chrek.cli.parser import parser

COMMANDS = {
    *("run", "checkpoint", "restore", "ls", "ps", "logs", "stop"),
    *("inspect", "verify", "rm", "check"),
}


def ends(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(list(words))
    said = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, said.out, said.err


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ends(capsys, "--help")
    assert code == 0
    assert all(f"\n    {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("command", ["", *sorted(COMMANDS)])
def test_every_help_names_the_exit_codes(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, _ = ends(capsys, *([command] if command else []), "--help")
    assert code == 0
    assert [line.split()[0] for line in out.partition("exit codes:\n")[2].splitlines()] == list(
        "01234"
    )


@pytest.mark.parametrize(
    "words",
    [
        *([], ["nonsense"], ["run"], ["run", "--name", "x"], ["run", "--", "x"], ["checkpoint"]),
        *(["restore", "x", "--count", "many"], ["restore", "x", "--on-failure", "weep"]),
        *(["run", "--name", "x", "--net", "bridge", "--", "y"], ["stop"], ["logs", "x", "--json"]),
        ["stop", "x", "--time", "soon"],
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_2_with_the_usage(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    code, out, err = ends(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("usage: chrek")


def test_what_is_asked_arrives() -> None:
    found = parser().parse_args(
        ["--root", "/x", "-vv", "checkpoint", "web", "--as", "id", "--json"]
    )
    assert (found.root, found.verbose, found.command) == (Path("/x"), 2, "checkpoint")
    assert (found.name, found.identifier, found.json, found.replace) == ("web", "id", True, False)


def test_the_command_prints_its_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chrek.cli.main", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"chrek {__version__}\n"


def test_a_wrong_name_is_one_sentence_with_its_reason_and_2(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chrek.cli.main", "--root", tmp_path, "inspect", "NOT/A/LABEL"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 3:
        pytest.skip(f"this machine cannot: {done.stderr}")
    assert done.returncode == 2
    assert done.stderr.startswith("chrek: checkpoint id 'NOT/A/LABEL' is not a DNS label")
    assert done.stderr.endswith("(InvalidRequest)\n")


def test_a_checkpoint_that_is_not_there_is_1(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chrek.cli.main", "--root", tmp_path, "verify", "absent"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(f"this machine cannot: {done.stderr}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no checkpoint absent" in done.stderr
