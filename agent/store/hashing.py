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


def block_count(size_bytes: int) -> int:
    """How many blocks a file has; the last one may be shorter."""
    return -(-size_bytes // BLOCK_BYTES)


def of_descriptor(descriptor: int, size_bytes: int, like: str = _WHOLE) -> str:
    """Digest of the first `size_bytes` of a file; read, not mapped, so that a file that shrinks
    meanwhile gives a wrong digest and not a SIGBUS. like: a digest of the same kind."""
    in_blocks = like.startswith(_BLOCKS)
    hasher = blake3(max_threads=blake3.AUTO)
    buffer = memoryview(bytearray(min(_CHUNK_BYTES, max(size_bytes, 1))))
    offset = 0
    while offset < size_bytes:
        wanted = min(len(buffer), size_bytes - offset)
        got = memory.read(descriptor, buffer[:wanted], offset)
        if in_blocks:
            for start in range(0, got, BLOCK_BYTES):
                block = buffer[start : min(start + BLOCK_BYTES, got)]
                hasher.update(blake3(block, max_threads=blake3.AUTO).digest())
        else:
            hasher.update(buffer[:got])
        if got < wanted:
            break
        offset += got
    return f"{_BLOCKS if in_blocks else _WHOLE}{hasher.hexdigest()}"
