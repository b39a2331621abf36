"""Puts built images into the node's containerd."""

import contextlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from . import node as nodes
from .commands import ENVIRONMENT
from .errors import ClusterError
from .layout import ARCHIVES, STATE
from .node import Node

LOADED = STATE / "loaded.json"  # names, and the digests of what is in containerd


def load(node: Node, keys: list[str] | None = None) -> list[str]:
    """Import archives that containerd does not have in this form; give the images' names.

    Without `keys` all, or what CHREK_CLUSTER_LOAD names, as pause,python.
    """
    if named := os.environ.get("CHREK_CLUSTER_LOAD"):
        keys = keys or named.split(",")
    loaded: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        loaded = json.loads(LOADED.read_text())
    new, archives = {}, []
    for record in sorted(ARCHIVES.glob("*.json")):
        built = json.loads(record.read_text())
        if (keys is None or record.stem in keys) and loaded.get(built["name"]) != built["id"]:
            new[built["name"]] = built["id"]
            archives.append(record.with_suffix(".tar"))
    if new:
        _import(node, archives)
        LOADED.write_text(json.dumps(loaded | new))
    return list(new)


def load_if_up(keys: list[str]) -> None:
    """After a build: what runs gets the new images."""
    if (node := nodes.find()) and (node.root / "run/containerd/containerd.sock").exists():
        for name in load(node, keys):
            print(f"build-images: {name} is in the cluster", file=sys.stderr)


def _import(node: Node, archives: Sequence[Path]) -> None:
    command = node.command("ctr", "--namespace", "k8s.io", "images", "import", "-")
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=said, stderr=said, env=ENVIRONMENT, cwd="/"
        )
        with running:
            assert running.stdin
            with contextlib.suppress(BrokenPipeError):  # it says why
                _join(archives, running.stdin)
        if running.returncode:
            said.seek(0)
            raise ClusterError(f"ctr could not import: {said.read().decode(errors='replace')}")


def _join(archives: Sequence[Path], out: IO[bytes]) -> None:
    """Write docker archives as one, with each layer once: most images have most of them."""
    manifests: list[dict[str, Any]] = []
    seen: set[str] = set()
    with contextlib.closing(tarfile.open(fileobj=out, mode="w|")) as whole:
        for archive in archives:
            with tarfile.open(archive) as part:
                described = part.extractfile("manifest.json")
                assert described, f"{archive} has no manifest.json"
                images = json.load(described)
                for name in (
                    name for image in images for name in (image["Config"], *image["Layers"])
                ):
                    if name not in seen:
                        whole.addfile(part.getmember(name), part.extractfile(name))
                        seen.add(name)
                manifests += images
        with tempfile.TemporaryFile() as text:
            text.write(json.dumps(manifests).encode())
            member = tarfile.TarInfo("manifest.json")
            member.size = text.tell()
            text.seek(0)
            whole.addfile(member, text)
