"""What a container wrote, of every kind, in the copy and in the copy's copy."""

from typing import Any

from tests.survival.lives import Lives

EXPECTED: dict[str, Any] = {
    "links": [2, True],
    "soft": "plain",
    "xattr": "00ff6b657074",
    "owner": [1234, 5678, "0o4750"],
    "sparse": ["in the middle", 64 << 20, "little"],
    "fifo": True,
    "deleted": "FileNotFoundError",
    "added": "new",
    "renamed": ["moved along", "FileNotFoundError"],
    "moved": ["inside"],
    "memory": ["/tmp/in-tmpfs", "/run/in-run", "/dev/shm/in-shm"],
}


def test_files_of_every_kind(lives: Lives) -> None:
    source = lives.start("files", "files.py")
    assert source.ask() == EXPECTED | {"log": 1}

    copy = lives.again(source, "copy")
    grandchild = lives.again(copy, "grandchild")

    assert grandchild.ask() == EXPECTED | {"log": 2}
    assert copy.ask() == EXPECTED | {"log": 2}
    assert source.ask() == EXPECTED | {"log": 2}


def test_a_root_that_cannot_be_written(lives: Lives) -> None:
    source = lives.start("threads", "signals.py", read_only=True)
    before = source.ask()
    source.path("/tmp/kept").write_text("in a tmpfs")

    copy = lives.again(source, "copy")

    assert copy.ask() == before == source.ask()
    assert copy.path("/tmp/kept").read_text() == "in a tmpfs"
