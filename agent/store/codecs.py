"""The codecs that compress large memory, one block at a time. None of them holds Python's lock
while it works."""

from collections.abc import Callable
from typing import Final

import lz4.block
import zstandard

from chrek.compression import Compression
from chrek.errors import DamagedError
from chrek.manifest import Codec

_WORTHWHILE: Final = 0.95
"""A block that does not become smaller than this share of it is kept as it is."""
Pack = Callable[[memoryview], bytes | memoryview]
"""A block as it is stored."""


def packer(chosen: Compression) -> Pack:
    """For one thread."""
    if chosen.codec == "zstd":
        compress: Callable[[memoryview], bytes] = zstandard.ZstdCompressor(
            level=chosen.level, write_content_size=True
        ).compress
    else:
        mode = "high_compression" if chosen.level else "default"

        def compress(block: memoryview) -> bytes:
            packed: bytes = lz4.block.compress(
                block, mode=mode, compression=chosen.level, store_size=False
            )
            return packed

    def pack(block: memoryview) -> bytes | memoryview:
        packed = compress(block)
        return packed if len(packed) <= _WORTHWHILE * len(block) else block

    return pack


class Unpacker:
    """For one thread."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdDecompressor()

    def unpack(self, codec: Codec, packed: memoryview, size_bytes: int) -> bytes:
        """The block of so many bytes that became `packed`. Raises DamagedError."""
        try:
            if codec == "zstd":
                if zstandard.frame_content_size(packed) != size_bytes:
                    raise DamagedError("a compressed block is of another size")
                block = self._zstd.decompress(packed)
            else:
                block = lz4.block.decompress(packed, uncompressed_size=size_bytes)
        except (zstandard.ZstdError, lz4.block.LZ4BlockError) as error:
            raise DamagedError(f"a compressed block is none: {error}") from error
        if len(block) != size_bytes:
            raise DamagedError("a compressed block is of another size")
        return block
