"""Names that are promises: paths inside a container, file names of a checkpoint.

Whoever changes one changes a contract with pods that run and checkpoints that exist.
"""

from typing import Final

CHREK_DIR: Final = "/chrek"
"""Directory in every container chrek takes on: the FIFO, chrek-init, the reaper."""

FIFO: Final = "ctl"
WAITED_MARK: Final = "waited"
READY_MARK: Final = "ready"
REAPER_PREFIX: Final = "reaper-"

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.json.sig"
CRIU_DIR: Final = "criu"
FILES_ARCHIVE: Final = "files.tar.zst"

PAGES_INDEX: Final = "pages.idx"
PAGES_PREFIX: Final = "pages-"
PAGES_SUFFIX: Final = ".bin"

FORMAT_VERSION: Final = 4
"""Format of a checkpoint on disk that this chrek writes. Older ones stay readable."""
FORMAT_UNCOMPRESSED: Final = 3
"""What it writes when nothing is compressed."""
FORMAT_WITHOUT_PAGES: Final = 2
"""What it writes when all memory is in CRIU's images: an older chrek restores that too."""
