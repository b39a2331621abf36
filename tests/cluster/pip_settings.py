"""This machine's pip settings, for the time of a build: as secrets, and in no layer.

pip in a build must find packages where this machine finds them: an index, folders
of wheels, a certificate. Dockerfiles take the secrets `pip.conf` and `ca.crt`; the
folders that the former names are mounted read-only below /run/pip. What stays of
those in the image is empty mount points.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import contextmanager
from pathlib import Path

NOT_FOR_BUILDS = {"cache-dir", "target", "user", "prefix", "root", "require-virtualenv", "log"}


@contextmanager
def for_a_build() -> Iterator[list[str]]:
    """Options for `buildah bud`: the secrets pip.conf and ca.crt, and what they need."""
    options: list[str] = []
    settings = _of_this_machine()
    certificates = settings.pop("cert", None)
    written = RawConfigParser()
    written["global"] = {
        name: " ".join(_inside(word, options) for word in value.split())
        for name, value in settings.items()
        if name not in NOT_FOR_BUILDS
    }
    if certificates:
        options += ["--secret", f"id=ca.crt,src={Path(certificates).resolve()}"]
        written["global"]["cert"] = "/run/secrets/ca.crt"
    with tempfile.TemporaryDirectory(prefix="chrek-pip-") as scratch:
        path = Path(scratch, "pip.conf")
        with path.open("w") as file:
            written.write(file)
        yield [*options, "--secret", f"id=pip.conf,src={path}"]


def _of_this_machine() -> dict[str, str]:
    """As pip itself merges them: files first, the environment last."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    merged = {}
    for scope in ("global", "install", "download", ":env:"):
        for name, value in re.findall(rf"^{scope}\.(\S+)='(.*)'$", done.stdout, re.MULTILINE):
            merged[name.replace("_", "-")] = value.replace("\\n", " ")
    # Other tools than pip read these, so that a machine may have only them.
    certificate = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    if certificate:
        merged.setdefault("cert", certificate)
    return merged


def _inside(word: str, volumes: list[str]) -> str:
    """A word of a setting as a build sees it; a path in it becomes a volume."""
    scheme, path = ("file://", word[7:]) if word.startswith("file://") else ("", word)
    if not path.startswith("/") or not Path(path).exists():
        return word
    # An index is a folder `simple` of links to packages beside it.
    source = Path(path).parent if scheme else Path(path)
    target = f"/run/pip/{len(volumes) // 2}/{source.name}"
    volumes += ["--volume", f"{source.resolve()}:{target}:ro"]
    return scheme + (f"{target}/{Path(path).name}" if scheme else target)
