"""How large memory is compressed on its volume, as people write it."""

import re
from dataclasses import dataclass
from typing import Final

from chrek.errors import UsageError
from chrek.manifest import Codec

_NUMBER: Final = re.compile(r"[0-9]{1,2}")
_LEVELS: Final[dict[Codec, range]] = {"zstd": range(1, 23), "lz4": range(13)}
_USUAL: Final[dict[Codec, int]] = {"zstd": 1, "lz4": 0}
"""lz4's other levels are its slow ones (high compression)."""


@dataclass(frozen=True, slots=True)
class Compression:
    """How page files are compressed on a volume. threads: 0 for a quarter of the CPUs."""

    codec: Codec
    level: int
    threads: int = 0


def parse(text: str, threads: int = 0) -> Compression | None:
    """What `CODEC` or `CODEC:LEVEL` names; None for nothing and `none`. Raises UsageError."""
    name, given, level = text.partition(":")
    if text in ("", "none"):
        return None
    for codec, levels in _LEVELS.items():
        if name == codec:
            if not given:
                return Compression(codec, _USUAL[codec], threads)
            if _NUMBER.fullmatch(level) and int(level) in levels:
                return Compression(codec, int(level), threads)
            raise UsageError(f"{codec} has levels {levels[0]} to {levels[-1]}, not {level[:20]!r}")
    raise UsageError(f"{text[:40]!r} is neither none, zstd, lz4 nor one of them with :LEVEL")
