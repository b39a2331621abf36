"""Between looking and removing the Checkpoint is asked for again."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.act.collect.removing import ChangedError, remove
from agent.plan.checkpoint import CheckpointView

VARIANTS = ("a" * 16, "b" * 16)
VIEW = CheckpointView("warm", "ml", "uid-1", "1", datetime.now(UTC))


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "ml" / "warm"
    for name in VARIANTS:
        (home / name).mkdir(parents=True)
        (home / name / "manifest.json").write_text("{}")
    return home


async def test_what_is_meant_is_removed(home: Path) -> None:
    assert await remove(home.parents[1], VIEW, yes) == ()
    assert not home.exists()


async def test_what_is_not_meant_any_more_stays(home: Path) -> None:
    with pytest.raises(ChangedError):
        await remove(home.parents[1], VIEW, no)
    assert len(list(home.iterdir())) == len(VARIANTS)


async def test_what_was_captured_while_the_answer_came_stays(home: Path) -> None:
    """Another agent removed the data and let the Checkpoint go; a new one of that name was made
    and captured before this agent, held up for long, goes on."""

    async def long_after() -> bool:
        (home / VARIANTS[0]).rename(home.parent / "removed")
        (home / VARIANTS[0]).mkdir()
        (home / VARIANTS[0] / "manifest.json").write_text("{}")
        return True

    with pytest.raises(ChangedError):
        await remove(home.parents[1], VIEW, once(long_after))
    assert (home / VARIANTS[0]).exists()
    assert not (home / VARIANTS[1]).exists()


def once(answer):  # type: ignore[no-untyped-def]
    answers = iter([answer, no])

    async def ask() -> bool:
        return bool(await next(answers)())

    return ask


async def test_only_some_variants(home: Path) -> None:
    assert await remove(home.parents[1], VIEW, yes, {VARIANTS[0]}) == ()
    assert [path.name for path in home.iterdir()] == [VARIANTS[1]]


async def test_nothing_there_is_not_asked_for(tmp_path: Path) -> None:
    assert await remove(tmp_path, VIEW, no) == ()


async def test_a_writer_who_never_rests_does_not_keep_it_at_work_for_ever(home: Path) -> None:
    async def written_to() -> bool:
        (home / VARIANTS[0] / "manifest.json").unlink(missing_ok=True)
        (home / VARIANTS[0] / "manifest.json").write_text("{}")
        return True

    with pytest.raises(ChangedError, match="does not get empty"):
        await remove(home.parents[1], VIEW, written_to)
