"""A pod's volumes on the host, laid out as the kubelet does it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Pod:
    """The directory of one pod below `place`."""

    def __init__(self, place: Path, uid: str) -> None:
        self.home = place / "pods" / uid
        self.volumes = self.home / "volumes"

    def volume(self, plugin: str, name: str) -> Path:
        """A volume's directory, empty at first."""
        made = self.volumes / f"kubernetes.io~{plugin}" / name
        made.mkdir(parents=True, exist_ok=True)
        return made

    def own_file(self, name: str, content: str) -> Path:
        """/etc/hosts or the like of this pod."""
        self.home.mkdir(parents=True, exist_ok=True)
        made = self.home / name
        made.write_text(content)
        return made


@contextmanager
def in_memory(volume: Path) -> Iterator[None]:
    """A tmpfs mounted on a volume's directory, as Secrets have it."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", volume], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", volume], check=True)


def publish(volume: Path, stamp: str, files: dict[str, str]) -> None:
    """What the kubelet's atomic writer does when content is new: a directory named by the time,
    `..data` renamed over the old link, one link a file, the old directory removed."""
    new = volume / f"..{stamp}"
    for path, content in files.items():
        (new / path).parent.mkdir(parents=True, exist_ok=True)
        (new / path).write_text(content)
    link = volume / "..data"
    old = volume / link.readlink() if link.is_symlink() else None
    (volume / "..data_tmp").symlink_to(new.name)
    (volume / "..data_tmp").rename(link)
    for name in {path.partition("/")[0] for path in files}:
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(f"..data/{name}")
    if old is not None and old != new:
        for path in sorted(old.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        old.rmdir()
    os.sync()
