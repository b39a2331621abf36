"""Removing a directory tree that a container made: of any depth, with any names in it."""

import subprocess
from pathlib import Path


def remove(path: Path) -> None:
    """Delete `path` and what is below it, on its file system; what cannot be deleted stays.

    By rm(1): shutil.rmtree recurses, and a thousand directories inside each other end it.
    """
    command = ["rm", "-rf", "--one-file-system", "--", str(path)]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
