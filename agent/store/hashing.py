"""Hashes of checkpoint files: blake3, on all cores, bounded memory."""

import os
from typing import Final

from blake3 import blake3

_CHUNK_BYTES: Final = 8 << 20


def of_bytes(content: bytes) -> str:
    """Digest of `content`, in the manifest's notation."""
    return f"blake3:{blake3(content).hexdigest()}"


def of_descriptor(descriptor: int, size_bytes: int) -> str:
    """Digest of the first `size_bytes` of a file; read, not mapped, so that a file that shrinks
    meanwhile gives a wrong digest and not a SIGBUS."""
    hasher = blake3(max_threads=blake3.AUTO)
    buffer = memoryview(bytearray(min(_CHUNK_BYTES, max(size_bytes, 1))))
    offset = 0
    while offset < size_bytes:
        wanted = min(len(buffer), size_bytes - offset)
        got = os.preadv(descriptor, [buffer[:wanted]], offset)
        if got == 0:
            break
        hasher.update(buffer[:got])
        offset += got
    return f"blake3:{hasher.hexdigest()}"
