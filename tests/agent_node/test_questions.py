"""Asking a node what it is able to do, and what comes of it when it does not answer."""

import sys
from pathlib import Path

import pytest

from agent.node.questions import QuestionsError, ask


async def test_the_answers_are_those_of_chrek_check() -> None:
    answers = {answer.question: answer for answer in await ask()}
    assert answers["kernel"].verdict == "yes"
    assert {"rights", "CRIU", "chrek-init", "criu check"} <= set(answers)


async def test_a_node_that_does_not_answer_in_time_is_not_waited_for(
    hanging_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHREK_CRIU_BUNDLE", str(hanging_bundle))
    with pytest.raises(QuestionsError, match="no answers within"):
        await ask(patience_seconds=0.5)


async def test_a_python_that_cannot_answer_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho first >&2\necho 'no module' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(QuestionsError, match="no answers: no module"):
        await ask()


async def test_a_process_that_cannot_be_made_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    with pytest.raises(QuestionsError, match="No such file or directory"):
        await ask()
