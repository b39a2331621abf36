"""What a container runs, it runs under chrek-init word for word."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chrek.pods import names, wrapping
from webhook.admission.known import Known

from ..pods.making import IMAGE, container, few, pod, text
from .kubernetes import expanded, words
from .worlds import admitted, known, learned, main, reviewed

SHELL = [
    "/bin/sh",
    "-c",
    'exec a "$1" $$(X) $(X)\n# "\'`\\ \t',
    "--",
    "",
    "a  b",
    "$(",
    "--timeout",
]
X = {"X": "$(Y) $$"}
word = st.text(alphabet="$()AX \\'\"", max_size=8) | text


def runs(written: dict[str, Any], world: Known | None = None, **asked: str) -> list[str]:
    """What the chosen container runs after its admission, below chrek-init."""
    annotations = {f"chrek.io/{key.replace('_', '-')}": value for key, value in asked.items()}
    found = main(admitted(pod(written, annotations=annotations), world))
    assert wrapping.is_wrapped(found["command"])
    return words(found, variables=X)[5:]


def test_a_command_stays_as_it_is_after_the_prefix() -> None:
    found = main(admitted(pod(container(command=SHELL, args=["$(X)", "x"]))))
    assert found["command"] == ["/chrek/chrek-init", "wait", "--timeout", "2", "--", *SHELL]
    assert found["args"] == ["$(X)", "x"]


@pytest.mark.parametrize("command", [["server"], ["./server"], ["../bin/x"], ["-x"], ["--"], [""]])
def test_a_command_of_any_form_is_left_to_be_found_as_before(command: list[str]) -> None:
    written = container(command=command, workingDir="/srv")
    assert runs(written) == command
    assert main(admitted(pod(written)))["workingDir"] == "/srv"


@few
@given(st.lists(word, min_size=1), st.lists(word) | st.none())
def test_a_command_of_any_words_runs_with_the_same_words(
    command: list[str], args: list[str] | None
) -> None:
    written = container(command=command, args=args)
    assert runs(written) == words(written, ["not"], ["this"], X)


ENTRYPOINTS = ([], ["entry"], ["/bin/sh", "-c", "echo $X $(X) $$"])
CMDS = ([], ["cmd", "$(X)"])
ARGS = (None, ["--port", "$(X)"])


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "args"),
    [case for case in itertools.product(ENTRYPOINTS, CMDS, ARGS) if any(case)],
)
def test_without_a_command_it_is_the_images(
    entrypoint: list[str], cmd: list[str], args: list[str] | None
) -> None:
    written = container(command=None, args=args)
    world = known(images=learned(entrypoint, cmd))
    assert runs(written, world) == words(written, entrypoint, cmd, X)


@few
@given(st.lists(word), st.lists(word), st.lists(word) | st.none())
def test_an_images_words_of_any_form_are_not_expanded(
    entrypoint: list[str], cmd: list[str], args: list[str] | None
) -> None:
    written = container(command=None, args=args)
    meant = words(written, entrypoint, cmd, X)
    if meant:
        assert runs(written, known(images=learned(entrypoint, cmd))) == meant


def test_an_empty_command_is_none() -> None:
    written = container(command=[], args=["x"])
    assert runs(written, known(images=learned(["entry"], ["cmd"]))) == ["entry", "x"]


def test_a_command_in_the_pod_makes_the_images_words_void() -> None:
    assert runs(container(), known(images=learned(["entry"], ["cmd"]))) == [
        "python3",
        "-m",
        "server",
    ]


def test_what_was_learned_of_another_tag_says_nothing() -> None:
    world = known(images=learned(["entry"], [], IMAGE + "1"))
    assert reviewed(pod(container(command=None)), world).missing is not None


def test_of_a_checkpoint_image_its_own_words_are_taken() -> None:
    written = container(command=None)
    images = learned(["of the base"], []) | learned(["of the copy"], [], "copy:1")
    assert runs(written, known(images=images), checkpoint_image="copy:1") == ["of the copy"]
    answer = reviewed(
        pod(written, annotations={names.CHECKPOINT_IMAGE: "copy:2"}), known(images=images)
    )
    assert answer.missing is not None
    assert answer.missing.name == "copy:2"


@pytest.mark.parametrize(
    ("written", "meant"),
    [("$$", "$"), ("$$(X)", "$(X)"), ("$(X)", "v"), ("$(Z)", "$(Z)"), ("$(X", "$(X"), ("a$", "a$")],
)
def test_the_kubelet_of_these_tests_expands_as_kubernetes_documents(
    written: str, meant: str
) -> None:
    assert expanded(written, {"X": "v"}) == meant
