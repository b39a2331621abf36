"""Hashes of checkpoint files: blake3, on all cores, bounded memory.

Of most files the digest is that of all bytes. Of files that are read in pieces, by several threads,
and each piece checked before it is used, it is the digest of the digests of their blocks.
"""

from typing import Final

from blake3 import blake3

from agent.kernel import memory

BLOCK_BYTES: Final = 1 << 20
DIGEST_BYTES: Final = 32
_CHUNK_BYTES: Final = 8 << 20
_WHOLE: Final = "blake3:"
_BLOCKS: Final = "blake3-1m:"


def of_bytes(content: bytes) -> str:
    """Digest of `content`, in the manifest's notation."""
    return f"{_WHOLE}{blake3(content).hexdigest()}"


def of_block(block: bytes | memoryview) -> bytes:
    """Digest of one block, on one core."""
    return blake3(block).digest()


def of_blocks(digests: bytes) -> str:
    """Digest of a file in the manifest's notation, from those of its blocks, in their order."""
    return f"{_BLOCKS}{blake3(digests).hexdigest()}"


def place(number: int) -> slice:
    """Where the digest of a block stands among those of its file."""
    return slice(number * DIGEST_BYTES, (number + 1) * DIGEST_BYTES)


def block_count(size_bytes: int) -> int:
    """How many blocks a file has; the last one may be shorter."""
    return -(-size_bytes // BLOCK_BYTES)


class Hasher:
    """A digest of bytes that come in pieces. like: a digest of the same kind; of blocks, every
    piece but the last is whole ones. most_threads: by default all cores."""

    def __init__(self, like: str = _WHOLE, most_threads: int = blake3.AUTO) -> None:
        self._in_blocks = like.startswith(_BLOCKS)
        self._most_threads = most_threads
        self._hasher = blake3(max_threads=most_threads)

    def update(self, piece: memoryview) -> None:
        """The bytes that follow."""
        if not self._in_blocks:
            self._hasher.update(piece)
            return
        for start in range(0, len(piece), BLOCK_BYTES):
            block = piece[start : start + BLOCK_BYTES]
            self._hasher.update(blake3(block, max_threads=self._most_threads).digest())

    def digest(self) -> str:
        """Of all that came, in the manifest's notation."""
        return f"{_BLOCKS if self._in_blocks else _WHOLE}{self._hasher.hexdigest()}"


def of_descriptor(descriptor: int, size_bytes: int, like: str = _WHOLE) -> str:
    """Digest of the first `size_bytes` of a file; read, not mapped, so that a file that shrinks
    meanwhile gives a wrong digest and not a SIGBUS. like: a digest of the same kind."""
    hasher = Hasher(like)
    buffer = memoryview(bytearray(min(_CHUNK_BYTES, max(size_bytes, 1))))
    offset = 0
    while offset < size_bytes:
        wanted = min(len(buffer), size_bytes - offset)
        got = memory.read(descriptor, buffer[:wanted], offset)
        hasher.update(buffer[:got])
        if got < wanted:
            break
        offset += got
    return hasher.digest()
