"""The `chrek` command as a person or a program uses it."""

import json
import os
import subprocess
import sys

import pytest
from conftest import PROGRAMS, PYTHON, Chrek, wait_for


@pytest.fixture
def warm(chrek: Chrek) -> Chrek:
    """A source that serves, and its checkpoint `warm`."""
    chrek.run("source", PYTHON, "/programs/counter.py", "0.0.0.0", "child")
    chrek("checkpoint", "source", "--as", "warm")
    return chrek


def test_ls_ps_and_inspect_tell_the_same_to_people_and_programs(warm: Chrek) -> None:
    (listed,) = warm("ls", "--json").json
    assert listed["id"] == "warm"
    assert listed["size_bytes"] > 1 << 20
    assert listed["processes"] == 3
    assert "warm" in warm("ls").out

    (container,) = warm("ps", "--json").json
    assert container["state"] == "running"
    assert container["address"] in warm("ps").out

    document = warm("inspect", "warm", "--json").json
    shown = warm("inspect", "warm").out
    names = [process["name"] for process in document["facts"]["processes"]]
    assert names[0] == "chrek-reaper"
    assert all(name in shown for name in names)
    assert document["phases"].keys() >= {"inspect", "files", "enter", "dump", "pack"}
    bars = warm("inspect", "warm", "--timeline").out
    assert all(f"\n{phase} " in bars for phase in document["phases"])
    assert document["frozen_seconds"] > 0
    assert all(file["digest"].startswith("blake3:") for file in document["files"])


def test_a_restores_timeline_is_kept_with_its_container(warm: Chrek) -> None:
    restored = warm("restore", "warm", "--name", "copy", "--json").json[0]
    shown = warm("inspect", "warm", "--timeline").out
    _, _, bars = shown.partition("\nrestore into copy: ")
    assert all(f"\n{phase} " in bars for phase in restored["phases"])
    spans = warm.container("copy")["timeline"]
    container, criu = spans[0], next(span for span in spans if span["phase"] == "criu")
    assert container["phase"] == "container"
    assert 0 < container["ended"] < criu["began"] < criu["ended"] < restored["seconds"]
    warm("stop", "copy")
    assert "restore into" not in warm("inspect", "warm", "--timeline").out


def test_verify_and_rm_name_what_they_did(warm: Chrek) -> None:
    assert "all whole" in warm("verify", "warm").out
    assert warm("verify", "warm", "--json").json[0]["whole"] is True
    assert "deleted" in warm("rm", "warm").out
    assert warm("ls", "--json").json == []
    assert list((warm.root / "checkpoints/default").iterdir()) == []


def test_a_checkpoint_without_a_name_gets_the_id_of_what_runs(chrek: Chrek) -> None:
    chrek.run("one", PYTHON, "/programs/counter.py")
    chrek.run("two", PYTHON, "/programs/counter.py", "0.0.0.0", "child")
    first = chrek("checkpoint", "one", "--json").json["id"]
    second = chrek("checkpoint", "two", "--json").json["id"]
    assert len(first) == len(second) == 16
    assert first != second
    chrek("restore", first, "--name", "copy")
    assert chrek.container("copy")["restored_from"].startswith(f"{first}/")


def test_logs_follow_until_the_container_ends(chrek: Chrek) -> None:
    chrek.run("source", PYTHON, "/programs/counter.py")
    following = chrek.start("logs", "source", "--follow")
    chrek.get("source")
    chrek("stop", "source", "--time", "20")
    out, _ = following.communicate(timeout=30)
    assert "ready" in out


def test_exit_codes_of_what_is_not_there(chrek: Chrek) -> None:
    for command in (
        ("checkpoint", "nobody"),
        ("logs", "nobody"),
        ("stop", "nobody"),
        ("restore", "nothing"),
        ("inspect", "nothing"),
        ("verify", "nothing"),
        ("rm", "nothing"),
    ):
        assert "NotFound" in chrek(*command, code=1).err


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--name", "UPPER", "--", "true"),
        ("run", "--name", "a", "--user", "root", "--", "true"),
        ("run", "--name", "a", "--volume", "relative:/x", "--", "true"),
        ("run", "--name", "a", "--memory", "lots", "--", "true"),
        ("run", "--name", "a"),
        ("checkpoint", "a", "--as", "../../etc"),
        ("restore", "../../etc"),
        ("restore", "a", "--count", "0"),
        ("frobnicate",),
    ],
)
def test_nonsense_is_refused_with_a_sentence_and_2(chrek: Chrek, words: tuple[str, ...]) -> None:
    said = chrek(*words, code=2).err
    assert said.strip()
    assert "Traceback" not in said


def test_a_command_that_does_not_exist_is_told_by_its_log_and_status(chrek: Chrek) -> None:
    chrek("run", "--name", "wrong", "--", "/no/such/command")
    assert chrek.exit_status("wrong") == 127
    assert "/no/such/command" in chrek.log("wrong")


def test_a_name_in_use_is_refused_and_free_again_after_the_end(chrek: Chrek) -> None:
    chrek.run("one", PYTHON, "/programs/counter.py")
    assert "AlreadyExists" in chrek("run", "--name", "one", "--", "true", code=1).err
    chrek("stop", "one")
    chrek("run", "--name", "one", "--", "true")
    assert chrek.exit_status("one") == 0
    chrek("run", "--name", "one", "--", "false")
    assert chrek.exit_status("one") == 1


def test_an_ended_container_cannot_be_captured(chrek: Chrek) -> None:
    chrek("run", "--name", "short", "--", "true")
    assert chrek.exit_status("short") == 0
    assert "NotFound" in chrek("checkpoint", "short", code=1).err


def test_without_root_it_says_what_to_do() -> None:
    done = subprocess.run(
        [PYTHON, "-c", "import os; os.setgid(65534); os.setuid(65534); import sys;"
         "sys.path[:0] = sys.argv[1:]; import chrek.cli.main as m; sys.exit(m.main(['ps']))",
         *[path for path in sys.path if path], str(PROGRAMS.parents[2])],
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    if "ModuleNotFoundError" in done.stderr or "PermissionError" in done.stderr:
        pytest.skip("this checkout or its packages cannot be read by another user")
    assert done.returncode == 3
    assert "root" in done.stderr


def test_check_says_yes_or_gives_a_cure(chrek: Chrek) -> None:
    answers = chrek("check", "--json").json
    assert {answer["question"] for answer in answers} >= {
        "kernel", "CRIU", "cgroups", "huge pages", "GPU driver", "socket modules"
    }  # fmt: skip
    assert all(answer["verdict"] in ("yes", "note") for answer in answers)
    criu = next(answer for answer in answers if answer["question"] == "CRIU")
    assert criu["found"].startswith("4.")


def test_check_without_a_bundle_says_how_to_get_one(chrek: Chrek) -> None:
    chrek.environment["CHREK_CRIU_BUNDLE"] = "/nonexistent"
    answers = chrek("check", "--json", code=3).json
    assert [a["cure"] for a in answers if a["question"] == "CRIU"] == [
        "Run `make bundle`, or set CHREK_CRIU_BUNDLE"
    ]
    assert "make bundle" in chrek("check", code=3).out


def test_the_demo_ends_with_all_replicas_answering(shim: str | None) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: containers are made")
    done = subprocess.run(
        [sys.executable, "-m", "chrek.demo"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("demo: cold ")
    assert last.endswith("x faster, 3 of 3 replicas answered")


def test_json_is_one_document_for_every_command_that_has_it(warm: Chrek) -> None:
    for command in (("run", "--name", "two", "--json", "--", "sleep", "60"), ("ps", "--json"),
                    ("ls", "--json"), ("stop", "two", "--json"), ("verify", "warm", "--json"),
                    ("inspect", "warm", "--json"), ("rm", "warm", "--json")):  # fmt: skip
        json.loads(warm(*command).out)
    wait_for(lambda: warm("ls", "--json").json == [], "the checkpoint to be gone")
