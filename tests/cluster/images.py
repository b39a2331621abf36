"""The images that the cluster's pods run, and what each is made from."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .layout import PAUSE, REPOSITORY, version

BASE = "docker.io/library/debian:bookworm-slim"
TESTS = "docker.io/chrek-test"
PYTHON = f"{TESTS}/python:1"
PODS = Path("tests/cluster/pods")

# Never part of an image, and often of megabytes.
PASSED_OVER = re.compile(r"^(__pycache__|\.git|\.venv|\..*_cache|.*\.egg-info|results)$")
COPIED = re.compile(r"^\s*(?:COPY|ADD)\s+(.*)$", re.MULTILINE | re.IGNORECASE)
BOUND = re.compile(r"--mount=\S*\bsource=([^\s,]+)")


@dataclass(frozen=True)
class Image:
    """One image: `buildah bud -f FILE --target TARGET -t NAME CONTEXT`."""

    key: str
    name: str
    file: Path
    target: str
    context: Path = Path()
    base: str = BASE
    base_argument: str = "BASE"
    arguments: tuple[tuple[str, str], ...] = ()

    @property
    def exists(self) -> bool:
        return (REPOSITORY / self.file).is_file()

    def inputs(self, base: str) -> str:
        """A digest of all that goes in: the Dockerfile, what it copies, and its base's digest."""
        text = (REPOSITORY / self.file).read_text()
        digest = hashlib.sha256(repr((self, base, text)).encode())
        for source in sorted(_sources(text)):
            for path in _files(REPOSITORY / self.context / source):
                mode = path.stat().st_mode & 0o777
                digest.update(f"{path.relative_to(REPOSITORY)} {mode:o}\n".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


def all_images() -> dict[str, Image]:
    """By key, each after what it is built on."""
    tag = version()
    webhook, agent, pods = Path("Dockerfile.webhook"), Path("Dockerfile.agent"), PODS / "Dockerfile"
    named = (("VERSION", tag),)
    images = [
        Image("pause", PAUSE, pods, "pause", PODS),
        Image("python", PYTHON, pods, "python", PODS),
        Image("entrypoint", f"{TESTS}/entrypoint:1", pods, "entrypoint", PODS),
        Image("webhook", f"docker.io/chrek/webhook:{tag}", webhook, "webhook", arguments=named),
        Image("init", f"docker.io/chrek/init:{tag}", agent, "init", arguments=named),
        Image("agent", f"docker.io/chrek/agent:{tag}", agent, "agent", arguments=named),
    ]
    placeholders = {"placeholder": PYTHON, "placeholder-bare": PAUSE}
    images += [
        Image(key, f"{TESTS}/{key}:1", agent, "placeholder", Path(), base, "PLACEHOLDER_BASE")
        for key, base in placeholders.items()
    ]
    assert all(image.base in (BASE, *(made.name for made in images)) for image in images)
    return {image.key: image for image in images}


def image_name(key: str) -> str:
    """An image's name for a pod; another cluster has it at CHREK_TEST_IMAGES=REGISTRY/PATH."""
    name = all_images()[key].name
    elsewhere = os.environ.get("CHREK_TEST_IMAGES", "").rstrip("/")
    return f"{elsewhere}/{name.rpartition('/')[2]}" if elsewhere else name


def _sources(dockerfile: str) -> set[str]:
    """The context's paths that a Dockerfile names in COPY, ADD and bind mounts."""
    text = re.sub(r"\\\n", " ", dockerfile)
    found = set()
    for line in COPIED.findall(text):
        words = line.replace('["', "").replace('"]', "").replace('",', " ").replace('"', "").split()
        if not any(word.startswith("--from") for word in words):
            found |= set([word for word in words if not word.startswith("--")][:-1])
    for line in text.splitlines():
        if "from=" not in line:
            found |= set(BOUND.findall(line))
    return found


def _files(source: Path) -> Iterator[Path]:
    """Files at a path or glob, in a stable order; a missing one is buildah's to complain of."""
    for path in sorted(source.parent.glob(source.name)) if source != REPOSITORY else [source]:
        if path.is_file():
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not PASSED_OVER.match(name))
            yield from (file for name in sorted(names) if (file := Path(folder, name)).is_file())
