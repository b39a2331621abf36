"""Settings of the engine on one machine, validated once."""

import hashlib
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from chrek import compression
from chrek.compression import Compression
from chrek.errors import UsageError

TEST_SHIM = "CHREK_TEST_PRLIMIT_SHIM"
FILES_LIMIT = "CHREK_FILES_LIMIT_MIB"
HUGE_PAGES = "CHREK_HUGE_PAGES"
PAGE_THREADS = "CHREK_PAGE_THREADS"
COMPRESSION = "CHREK_COMPRESSION"
COMPRESSION_THREADS = "CHREK_COMPRESSION_THREADS"
MOST_THREADS = 256
_FILES_LIMIT_MIB = "2048"
_SCRATCH = Path("/run/chrek/scratch")


@dataclass(frozen=True, slots=True)
class Settings:
    """root: state of containers. claim: where checkpoints live. scratch: a tmpfs directory for
    what a restore prepares. files_limit_bytes: most that a container may have written to be
    captured. restore_timeout_seconds: then the placeholder starts cold. first_word_seconds: so
    long chrek-init waits to hear that a restore begins. test_shim: only for
    tests on machines without CAP_SYS_RESOURCE: a library that CRIU preloads (tests/shim).
    shown_root: what a person who looks for `root` finds it as, where that is another path.
    huge_pages: switch huge pages on for the whole node while a GPU's bytes are copied.
    page_threads: that move memory which does not go through CRIU; 0: as many as CPUs, at a restore
    as those that the container may use too.
    compression: of page files on the claim; None: none.
    """

    root: Path
    claim: Path
    scratch: Path
    namespace: str = "default"
    files_limit_bytes: int = 2 << 30
    restore_timeout_seconds: float = 300.0
    first_word_seconds: float = 15.0
    test_shim: str | None = None
    shown_root: Path | None = None
    huge_pages: bool = False
    page_threads: int = 0
    compression: Compression | None = None

    def new_scratch(self) -> Path:
        """A new place for one restore, not yet made."""
        return self.scratch / f"{mark(self.root)}-{uuid.uuid4().hex}"

    def shown(self, path: Path) -> Path:
        """`path` below `root` for a person."""
        return self.shown_root / path.relative_to(self.root) if self.shown_root else path

    @property
    def logs(self) -> Path:
        """Where CRIU's log of a failed capture or restore is kept."""
        return self.root / "logs"


def mark(root: Path) -> str:
    """8 hex characters that tell what belongs to `root` from what belongs to another."""
    return hashlib.sha256(os.fsencode(root)).hexdigest()[:8]


def from_environment(root: Path) -> Settings:
    """Settings with their defaults below `root`; raises UsageError."""
    if not root.is_absolute():
        raise UsageError(f"--root {root} is not an absolute path")
    if set(str(root)) & set(":,\\"):
        raise UsageError(f"--root {root}: overlayfs takes no path with a colon, comma or backslash")
    limit = os.environ.get(FILES_LIMIT, _FILES_LIMIT_MIB)
    if not (limit.isascii() and limit.isdigit()):
        raise UsageError(f"{FILES_LIMIT}={limit} is not a number of MiB")
    return Settings(
        root=root,
        claim=root / "checkpoints",
        scratch=_SCRATCH,
        files_limit_bytes=int(limit) << 20,
        test_shim=os.environ.get(TEST_SHIM) or None,
        huge_pages=_huge_pages(os.environ.get(HUGE_PAGES, "")),
        page_threads=_threads(PAGE_THREADS),
        compression=compression_of(os.environ.get(COMPRESSION, ""), COMPRESSION),
    )


def compression_of(text: str, where: str) -> Compression | None:
    """What `text`, said at `where`, means, with the environment's threads. Raises UsageError."""
    threads = _threads(COMPRESSION_THREADS)
    try:
        return compression.parse(text, threads)
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}") from error


def _threads(name: str) -> int:
    text = os.environ.get(name, "0")
    if not (text.isascii() and text.isdigit() and int(text) <= MOST_THREADS):
        raise UsageError(f"{name}={text} is not a number up to {MOST_THREADS}")
    return int(text)


def _huge_pages(text: str) -> bool:
    if text not in ("", "always", "leave"):
        raise UsageError(f"{HUGE_PAGES}={text} is neither always nor leave")
    return text == "always"
