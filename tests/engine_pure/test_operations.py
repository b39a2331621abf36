"""What an operation leaves on the node's own disk, and the next start's cleaning."""

from pathlib import Path

import pytest

from agent import settings
from agent.engine import operations
from agent.runtime.target import Target
from chrek.errors import BusyError
from chrek.ids import HostPID

TARGET = Target("main", "c" * 64, HostPID(1), 1)


async def test_a_lock_is_kept_while_it_is_held_and_no_longer(tmp_path: Path) -> None:
    ours = settings.from_environment(tmp_path)
    with operations.alone(ours, TARGET):
        await operations.tidy(ours)
        with pytest.raises(BusyError), operations.alone(ours, TARGET):
            pass
    await operations.tidy(ours)
    assert [path.name for path in (tmp_path / "operations").iterdir()] == ["lock"]


async def test_a_killed_operations_directories_are_removed(tmp_path: Path) -> None:
    ours = settings.from_environment(tmp_path)
    staged = tmp_path / "staged"
    staged.mkdir()
    with operations.recorded(ours, "capture", TARGET, [staged]):
        (record,) = (tmp_path / "operations").glob("*.json")
        assert await operations.tidy(ours) == []
        assert operations.staging_in_use(ours) == {staged}
        text = record.read_bytes()
    record.write_bytes(text)  # as a kill would have left it
    assert [each.kind for each in await operations.tidy(ours)] == ["capture"]
    assert not staged.exists()
    assert not record.exists()
