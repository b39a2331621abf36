"""Digests do not depend on how the bytes were read."""

import os
from pathlib import Path

import pytest
from blake3 import blake3

from agent.store import hashing


@pytest.mark.parametrize("size", [0, 1, 4096, (8 << 20) - 1, 8 << 20, (8 << 20) + 1])
def test_a_file_has_the_hash_of_its_bytes(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content + b"beyond")
    with (tmp_path / "file").open("rb") as file:
        found = hashing.of_descriptor(file.fileno(), size)
    assert found == hashing.of_bytes(content) == f"blake3:{blake3(content).hexdigest()}"


def test_a_file_that_is_shorter_than_it_should_be_has_another_hash(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"short")
    with (tmp_path / "file").open("rb") as file:
        assert hashing.of_descriptor(file.fileno(), 5) == hashing.of_bytes(b"short")
        assert hashing.of_descriptor(file.fileno(), 6) == hashing.of_bytes(b"short")


@pytest.mark.parametrize("size", [0, 1, 4096, (1 << 20) - 1, 1 << 20, (9 << 20) + 5])
def test_a_digest_of_blocks_is_that_of_their_digests(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content + b"beyond")
    blocks = [content[at : at + (1 << 20)] for at in range(0, size, 1 << 20)]
    assert hashing.block_count(size) == len(blocks)
    digests = b"".join(hashing.of_block(block) for block in blocks)
    with (tmp_path / "file").open("rb") as file:
        found = hashing.of_descriptor(file.fileno(), size, like="blake3-1m:")
    assert found == hashing.of_blocks(digests) == f"blake3-1m:{blake3(digests).hexdigest()}"
