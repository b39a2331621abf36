"""Whatever happened to a published checkpoint, it is named, and nothing outside is read."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.store import checkpoints, contents, hashing
from agent.trust.keys import Keyring
from chrek import manifest as manifests
from chrek.errors import DamagedError, FormatError, NotFoundError
from chrek.manifest import StoredFile

NAME = "criu/pages-1.img"


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.rename(path.with_name("beside"))
        make(path)

    return replace


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": flipped,
    "truncated": lambda path: os.truncate(path, 199_999),
    "emptied": lambda path: os.truncate(path, 0),
    "grown": lambda path: os.truncate(path, 200_001),
    "missing": Path.unlink,
    "a link to the same bytes": instead(lambda path: path.symlink_to("beside")),
    "a link to /dev/zero": instead(lambda path: path.symlink_to("/dev/zero")),
    "a FIFO": instead(os.mkfifo),
    "a directory": instead(os.mkdir),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named(
    published: Path, damage: Callable[[Path], object], keys: Keyring
) -> None:
    damage(published / NAME)
    with pytest.raises(DamagedError, match=r"criu/pages-1\.img of the checkpoint"):
        checkpoints.verify(published, keys)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_never_returned(
    published: Path, damage: Callable[[Path], object], keys: Keyring
) -> None:
    file = next(file for file in checkpoints.load(published, keys).files if file.name == NAME)
    with contents.opened(published) as directory:
        assert len(contents.read_verified(directory, file)) == 200_000
        damage(published / NAME)
        with pytest.raises(DamagedError, match=NAME):
            contents.read_verified(directory, file)


def test_a_directory_that_became_a_link_is_not_followed(
    published: Path, tmp_path: Path, keys: Keyring
) -> None:
    shutil.move(published / "criu", tmp_path / "criu")
    (published / "criu").symlink_to(tmp_path / "criu")
    with pytest.raises(DamagedError, match="criu/"):
        checkpoints.verify(published, keys)


def test_a_checkpoint_that_became_a_link_is_not_followed(
    published: Path, tmp_path: Path, keys: Keyring
) -> None:
    shutil.move(published, tmp_path / "elsewhere")
    published.symlink_to(tmp_path / "elsewhere")
    for call in (checkpoints.load, checkpoints.verify):
        with pytest.raises(NotFoundError, match="no checkpoint at"):
            call(published, keys)


def test_a_file_that_the_manifest_does_not_name_is_no_part_of_the_checkpoint(
    published: Path, keys: Keyring
) -> None:
    (published / "criu/extra.img").write_bytes(b"x")
    assert "criu/extra.img" not in {file.name for file in checkpoints.verify(published, keys).files}


MANIFESTS: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "huge": lambda path: os.truncate(path, manifests.MAX_BYTES + 1),
    "not JSON": lambda path: path.write_text("manifest"),
    "not UTF-8": lambda path: path.write_bytes(b'{"format": 1, "id": "\xff"}'),
    "a list": lambda path: path.write_text("[1]"),
    "nested deeply": lambda path: path.write_text('{"a":' + "[" * 100_000 + "]" * 100_000 + "}"),
    "deep facts": lambda path: path.write_text('{"format":1,"facts":' + '{"a":' * 50_000),
    "cut off": lambda path: os.truncate(path, path.stat().st_size // 2),
    "a link": instead(lambda path: path.symlink_to("beside")),
    "a FIFO": instead(os.mkfifo),
    "a directory": instead(os.mkdir),
}


@pytest.mark.parametrize("damage", MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_that_is_none_is_damage(
    published: Path, damage: Callable[[Path], object], keys: Keyring
) -> None:
    damage(published / "manifest.json")
    resigned(published, keys)
    for call in (checkpoints.load, checkpoints.verify):
        with pytest.raises(DamagedError, match=r"manifest\.json"):
            call(published, keys)


def edited(path: Path, change: Callable[[dict[str, Any]], object], keys: Keyring) -> None:
    document = json.loads((path / "manifest.json").read_text())
    change(document)
    (path / "manifest.json").write_text(json.dumps(document))
    resigned(path, keys)


def resigned(path: Path, keys: Keyring) -> None:
    """Signed as it is now: what a trusted agent with a fault would publish."""
    if (path / "manifest.json").is_file():
        signature = keys.sign((path / "manifest.json").read_bytes())
        (path / "manifest.json.sig").write_bytes(signature)


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "unknown field": lambda document: document.update(surprise=1),
    "unknown fact": lambda document: document["facts"].update(surprise=1),
    "missing field": lambda document: document.pop("files"),
    "text for a number": lambda document: document["facts"].update(max_pid="1000"),
    "format as text": lambda document: document.update(format="1"),
    "no format": lambda document: document.pop("format"),
    "negative size": lambda document: document["files"][0].update(size_bytes=-1),
    "PID 0": lambda document: document["facts"].update(root_pid=0),
    "PID beyond all": lambda document: document["facts"].update(max_pid=(1 << 22) + 1),
    "short hash": lambda document: document["files"][0].update(digest="blake3:00"),
    "other hash": lambda document: document["files"][0].update(digest="sha256:" + "0" * 64),
    "reaper elsewhere": lambda document: document["facts"].update(reaper="../x"),
}


@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
def test_a_manifest_with_a_wrong_field_is_damage(
    published: Path, change: Callable[[dict[str, Any]], object], keys: Keyring
) -> None:
    edited(published, change, keys)
    with pytest.raises(DamagedError, match="not a manifest"):
        checkpoints.load(published, keys)


@pytest.mark.parametrize(
    "name",
    [
        *("../secret", "criu/../../secret", "/etc/passwd", "criu/..", "criu/.", "criu/", "criu"),
        *("", ".", "..", "criu/a/b", "manifest.json", "criu/.hidden", "criu/a\nb", "criu/\0"),
        *("files.tar.zst/../x", "criu/" + "n" * 200, "files.tar.zst\n", "criu/empty.img\n"),
    ],
)
def test_a_manifest_that_names_a_file_elsewhere_is_damage(
    published: Path, tmp_path: Path, name: str, keys: Keyring
) -> None:
    secret = b"outside"
    (tmp_path / "secret").write_bytes(secret)
    (published.parent / "secret").write_bytes(secret)
    digest = hashing.of_bytes(secret)
    entry = {"name": name, "size_bytes": len(secret), "digest": digest}
    edited(published, lambda document: document.update(files=[entry]), keys)
    with pytest.raises(DamagedError, match="not a manifest"):
        checkpoints.load(published, keys)


@pytest.mark.parametrize("name", ["../secret", "criu/../../secret", "link", "criu"])
def test_even_a_name_that_was_never_checked_does_not_lead_out(published: Path, name: str) -> None:
    (published.parent / "secret").write_bytes(b"outside")
    (published / "link").symlink_to("../secret")
    with contents.opened(published) as directory, pytest.raises(DamagedError):
        contents.read_verified(directory, StoredFile(name, 7, hashing.of_bytes(b"outside")))


@pytest.mark.parametrize(
    ("number", "advice"), [(5, "Use a newer chrek"), (999, "Use a newer chrek"), (0, "again")]
)
def test_a_format_of_another_time_says_what_to_do(
    published: Path, number: int, advice: str, keys: Keyring
) -> None:
    """Fields of a newer format are no damage, whatever they are."""
    edited(published, lambda document: document.update(format=number, unknown={"a": [1]}), keys)
    with pytest.raises(FormatError, match=advice):
        checkpoints.load(published, keys)
