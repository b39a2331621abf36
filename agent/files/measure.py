"""How much a container wrote, asked before a byte is copied."""

import stat

from agent.files import roots
from agent.files.roots import SourceRoot
from agent.files.walk import walk
from chrek.errors import FilesTooLargeError


def within(pid: int, sources: list[SourceRoot], limit_bytes: int) -> int:
    """How many bytes; raises FilesTooLargeError, with the mounts and their sizes, as soon as it is
    too much."""
    sizes: dict[str, int] = {}
    linked: set[tuple[int, int]] = set()
    for source in sources:
        point = source.root.point
        sizes[point] = 0
        with roots.opened(pid, source) as directory:
            for found in walk(directory, source.excluded):
                if not stat.S_ISREG(found.stat.st_mode) or found.identity in linked:
                    continue
                if found.stat.st_nlink > 1:
                    linked.add(found.identity)
                sizes[point] += found.stat.st_size
                if sum(sizes.values()) > limit_bytes:
                    raise too_large(sizes, limit_bytes)
    return sum(sizes.values())


def too_large(sizes: dict[str, int], limit_bytes: int) -> FilesTooLargeError:
    """sizes: bytes by mount point, counted until it was too much."""
    largest = sorted(sizes.items(), key=lambda size: -size[1])
    counted = ", ".join(f"{point} {size >> 20} MiB" for point, size in largest if size)
    return FilesTooLargeError(
        f"the container wrote more than {limit_bytes >> 20} MiB of files, counted until there: "
        f"{counted}",
        hint="Write less there, keep it in a volume of another kind, or raise the limit of files",
    )
