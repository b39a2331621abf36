"""The image that all others are built on: a Debian made here, named as Debian's slim one."""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from .buildah import STORAGE, buildah, image_id, run
from .images import BASE
from .layout import CACHE, HERE

# Raise it when the base is made in another way.
RECIPE = "2 bookworm minbase"
UNREAD = ("doc", "info", "lintian", "linda", "locale", "man")
APT = """\
APT::Keep-Downloaded-Packages "false";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
"""


def make_base() -> str:
    """A Debian that has what debian:bookworm-slim has, more or less; gives its image id."""
    record = STORAGE / "base.json"
    identity = image_id(BASE)
    wanted = [RECIPE, identity]
    if identity and record.is_file() and json.loads(record.read_text()) == wanted:
        return identity
    print("build-images: making a Debian root file system (one minute)", file=sys.stderr)
    mirror = run([str(HERE / "debian-mirror")])
    with tempfile.TemporaryDirectory(dir=CACHE / "images", prefix="base.") as scratch:
        root = Path(scratch, "root")
        run(["debootstrap", "--variant=minbase", "bookworm", str(root), mirror])
        _slim(root)
        container = buildah("from", "scratch")
        try:
            buildah("add", "--quiet", container, str(root), "/")
            buildah("config", "--cmd", "bash", container)
            buildah("commit", "--quiet", "--format", "docker", container, BASE)
        finally:
            buildah("rm", container)
    identity = image_id(BASE)
    record.write_text(json.dumps([RECIPE, identity]))
    return identity


def _slim(root: Path) -> None:
    """As Debian's own slim image: no documentation, and apt keeps no cache. No trace of here."""
    emptied = ["dev", "var/cache/apt", "var/lib/apt/lists"]
    for folder in [*emptied, *(f"usr/share/{name}" for name in UNREAD)]:
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir()
    for name in ("etc/resolv.conf", "etc/hostname", "var/log/bootstrap.log"):
        (root / name).unlink(missing_ok=True)
    excluded = "".join(f"path-exclude /usr/share/{name}/*\n" for name in UNREAD)
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(excluded)
    (root / "etc/apt/apt.conf.d/slim").write_text(APT)
