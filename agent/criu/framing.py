"""The framing of CRIU's image files: entries of one kind, each a protobuf message.

One or two 32-bit magic numbers, then entries, each a 32-bit length and a message; all
little-endian (https://criu.org/Images).
"""

import struct
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError

from chrek.errors import DamagedError

_COMMON_MAGICS = (0x54564319, 0x55105940)
"""IMG_COMMON_MAGIC and IMG_SERVICE_MAGIC: a second magic follows them."""


def entries(content: bytes, message: Any) -> Iterator[Any]:
    """The entries of an image, each a `message`; raises DamagedError."""
    offset = _head_size(content)
    while offset < len(content):
        try:
            (size,) = struct.unpack_from("<I", content, offset)
            piece = content[offset + 4 : offset + 4 + size]
            if len(piece) != size:
                raise DamagedError("an image of CRIU's is cut off")
            entry = message.FromString(piece)
            if not entry.IsInitialized():
                raise DamagedError("an image of CRIU's lacks what every entry has")
            yield entry
        except (struct.error, ValueError, DecodeError) as error:
            raise DamagedError(f"an image of CRIU's cannot be read: {error}") from error
        offset += 4 + size


def joined(content: bytes, changed: list[Any]) -> bytes:
    """The image `content` with other entries."""
    pieces = [content[: _head_size(content)]]
    for entry in changed:
        packed = entry.SerializeToString()
        pieces += [struct.pack("<I", len(packed)), packed]
    return b"".join(pieces)


def split(content: bytes) -> tuple[bytes, bytes]:
    """The first entry, where it is of another kind, and an image of the others; raises
    DamagedError."""
    start = _head_size(content)
    try:
        (size,) = struct.unpack_from("<I", content, start)
    except struct.error as error:
        raise DamagedError("an image of CRIU's is cut off") from error
    behind = start + 4 + size
    return content[start + 4 : behind], content[:start] + content[behind:]


def _head_size(content: bytes) -> int:
    if len(content) < 8:  # noqa: PLR2004 - two magic numbers
        raise DamagedError("an image of CRIU's is too short")
    (magic,) = struct.unpack_from("<I", content)
    return 8 if magic in _COMMON_MAGICS else 4
