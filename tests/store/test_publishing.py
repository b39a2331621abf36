"""A checkpoint is there whole or not at all, and readers keep what they opened."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.store import checkpoints, contents
from agent.store.checkpoints import Checkpoints
from agent.trust.keys import Keyring
from chrek.errors import ExistsError, NotFoundError, StorageError, UsageError
from chrek.ids import CheckpointID

ID = CheckpointID("warm")
VARIANT = "0123456789abcdef"
Publish = Callable[..., Path]


def all_files(path: Path) -> dict[str, bytes]:
    return {str(e.relative_to(path)): e.read_bytes() for e in path.rglob("*") if e.is_file()}


def hidden(store: Checkpoints) -> list[str]:
    home = store.staging_path(ID).parent
    return [e.name for e in home.iterdir() if e.name.startswith(".")] if home.exists() else []


def test_an_empty_store_has_no_checkpoints(store: Checkpoints) -> None:
    assert store.ids() == []
    assert store.variants(ID) == []
    assert store.tidy(set()) == []
    with pytest.raises(NotFoundError, match="no checkpoint warm"):
        store.newest(ID)
    with pytest.raises(NotFoundError, match="no checkpoint warm"):
        store.remove(ID)


def test_what_is_published_is_found_whole_and_nothing_else_is_left(
    store: Checkpoints, published: Path, keys: Keyring
) -> None:
    assert store.ids() == [ID]
    assert store.newest(ID) == published
    assert hidden(store) == []
    manifest = checkpoints.verify(published, keys)
    assert manifest.id == ID
    assert {file.name for file in manifest.files} == all_files(published).keys() - {
        "manifest.json",
        "manifest.json.sig",
    }


def test_staging_is_private_and_gone_when_the_capture_fails(store: Checkpoints) -> None:
    place = store.staging_path(ID)
    with pytest.raises(ZeroDivisionError), store.staging(place):  # noqa: PT012
        assert place.stat().st_mode & 0o777 == 0o700
        (place / "half").write_text("x")
        assert store.ids() == []
        raise ZeroDivisionError
    assert not place.parent.exists()


def test_staging_where_nothing_can_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "claim").write_text("a file")
    store = Checkpoints(tmp_path / "claim", "default")
    with (
        pytest.raises(StorageError, match="Check the volume"),
        store.staging(store.staging_path(ID)),
    ):
        pass


def test_publishing_twice_keeps_the_first_byte_for_byte(
    store: Checkpoints, publish: Publish, published: Path
) -> None:
    first = all_files(published)
    with pytest.raises(ExistsError, match="--replace"):
        publish({"files.tar.zst": b"second", "reaper-0123456789abcdef": b""})
    assert all_files(published) == first
    assert hidden(store) == []


def test_replacing_swaps_and_a_reader_keeps_what_it_opened(
    store: Checkpoints, publish: Publish, published: Path, keys: Keyring
) -> None:
    before = checkpoints.load(published, keys)
    with contents.opened(published) as directory:
        kept = contents.open_file(directory, before.files[0])
        again = publish({"files.tar.zst": b"second"}, replace=True)
        try:
            contents.verified(kept, before.files[0])
        finally:
            os.close(kept)
    assert again == published
    assert [file.name for file in checkpoints.verify(published, keys).files] == ["files.tar.zst"]
    assert hidden(store) == []


def test_while_a_checkpoint_is_replaced_it_is_never_absent(
    publish: Publish, published: Path
) -> None:
    absent: list[float] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            if not published.is_dir():
                absent.append(time.monotonic())

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(20):
        publish({"files.tar.zst": bytes([number])}, replace=True)
    done.set()
    watcher.join()
    assert absent == []


def test_replacing_what_is_not_there_publishes(publish: Publish, keys: Keyring) -> None:
    assert checkpoints.verify(publish(replace=True), keys).source == "web"


def test_the_newest_variant_comes_first(store: Checkpoints, publish: Publish) -> None:
    names = [f"{number:016x}" for number in (3, 1, 2)]
    for age, name in enumerate(names):
        os.utime(publish(variant=name) / "manifest.json", (age, age))
    assert [path.name for path in store.variants(ID)] == names[::-1]
    assert store.newest(ID).name == names[-1]


def test_removing_deletes_every_variant_and_the_id(store: Checkpoints, publish: Publish) -> None:
    home = publish().parent
    publish(variant="f" * 16)
    assert store.remove(ID) == 2
    assert not home.exists()


def test_a_variant_without_a_manifest_is_no_variant_to_restore_but_can_be_removed(
    store: Checkpoints, published: Path
) -> None:
    (published / "manifest.json").unlink()
    assert store.ids() == [ID]
    assert store.variants(ID) == []
    assert store.remove(ID) == 1
    assert not published.exists()


def test_tidy_deletes_what_killed_commands_left_and_nothing_in_use(
    store: Checkpoints, published: Path, keys: Keyring
) -> None:
    dead, live = store.staging_path(ID), store.staging_path(ID)
    alone = store.staging_path(CheckpointID("other"))
    trash = published.parent / ".trash-0"
    for place in (dead, live, alone, trash):
        (place / "criu").mkdir(parents=True)
    assert set(store.tidy({live})) == {dead, alone, trash}
    assert live.is_dir()
    assert not any(place.exists() for place in (dead, alone.parent, trash))
    assert checkpoints.verify(published, keys)


def test_foreign_directories_on_the_volume_are_passed_over(
    store: Checkpoints, published: Path
) -> None:
    for name in ("lost+found", ".snapshot", "UPPER", "a" * 64):
        (published.parents[1] / name / VARIANT).mkdir(parents=True)
        (published.parents[1] / name / VARIANT / "manifest.json").write_text("{}")
    (published.parent / "not-a-variant").mkdir()
    (published.parents[1] / "a-file").write_text("x")
    assert store.ids() == [ID]
    assert store.variants(ID) == [published]


@pytest.mark.parametrize("name", ["..", "a/b", "", ".", "UPPER", "a" * 64, "a\n", "-a"])
def test_names_that_are_no_labels_lead_nowhere(store: Checkpoints, name: str) -> None:
    for call in (store.newest, store.remove, store.variants, store.staging_path):
        with pytest.raises(UsageError, match="not a DNS label"):
            call(CheckpointID(name))
    with pytest.raises(UsageError, match="namespace"):
        Checkpoints(Path("/nowhere"), name)
