"""A dumped tree's memory, as CRIU's images describe it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.criu import framing
from agent.criu.bundle import Bundle, messages
from agent.pages import areas, pagemap
from agent.pages.areas import Area, Areas
from agent.pages.pagemap import PageMap
from chrek.errors import DamagedError

_SHARED: Final = re.compile(r"pagemap-shmem-(\d{1,20})\.img")
_MOST_IMAGES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Task:
    """A process. parent: its PID, 0 for the root."""

    pid: int
    parent: int
    areas: Areas
    pages: PageMap


@dataclass(frozen=True, slots=True)
class Dumped:
    """tasks: by PID. shared: memory that processes share, by its number. memfds: the file that a
    mapping names -> that number."""

    tasks: dict[int, Task]
    shared: dict[int, PageMap]
    memfds: dict[int, int]

    def shared_of(self, area: Area) -> int | None:
        """The number of the memory that is mapped there, if that is not a file's."""
        if not area.shared:
            return None
        return self.memfds.get(area.shmid) if area.memfd else area.shmid


def read(bundle: Bundle, images: Path) -> Dumped:
    """All of the tree whose images are in `images`; raises DamagedError, OSError."""
    tasks: dict[int, Task] = {}
    message = messages(bundle.path, "pstree_pb2").pstree_entry
    for entry in framing.entries((images / "pstree.img").read_bytes(), message):
        mappings, map_of = images / f"mm-{entry.pid}.img", images / f"pagemap-{entry.pid}.img"
        if not mappings.exists():
            continue  # a zombie
        found = pagemap.read(bundle, map_of.read_bytes())
        if found is not None:
            own = areas.of(bundle, mappings.read_bytes())
            tasks[entry.pid] = Task(entry.pid, entry.ppid, own, found)
    shared: dict[int, PageMap] = {}
    for path in images.iterdir():
        name = _SHARED.fullmatch(path.name)
        if name and (found := pagemap.read(bundle, path.read_bytes())) is not None:
            shared[int(name[1])] = found
    if len(tasks) + len(shared) > _MOST_IMAGES:
        raise DamagedError("there are too many images")
    return Dumped(tasks, shared, _memfds(bundle, images) if shared else {})


def _memfds(bundle: Bundle, images: Path) -> dict[int, int]:
    module = messages(bundle.path, "memfd_pb2")
    inodes: dict[int, int] = {}
    image = images / "memfd.img"
    if image.exists():
        for inode in framing.entries(image.read_bytes(), module.memfd_inode_entry):
            if not inode.hugetlb_flag:
                inodes[inode.inode_id] = inode.shmid
    files: dict[int, int] = {}
    message = messages(bundle.path, "fdinfo_pb2").file_entry
    for entry in framing.entries((images / "files.img").read_bytes(), message):
        if entry.HasField("memfd") and entry.memfd.inode_id in inodes:
            files[entry.id] = inodes[entry.memfd.inode_id]
    return files
