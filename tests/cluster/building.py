"""Builds the images without a registry, in a storage that no other program uses.

python -m tests.cluster.building [--only KEY,...]
"""

import argparse
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import pip_settings
from .base_image import make_base
from .buildah import BuildFailedError, buildah, image_id, prune
from .images import BASE, Image, all_images
from .layout import ARCHIVES, CACHE, REPOSITORY
from .loading import load_if_up

SETTINGS = ["--isolation", "chroot", "--network", "host", "--layers", "--format", "docker"]


def build(keys: list[str]) -> list[Image]:
    """Build what changed of these images; give those that have an archive now."""
    known = all_images()
    made = []
    with _locked(CACHE / "images"):
        digests = {BASE: make_base()}
        for image in known.values():
            if image.key not in keys and image.name not in {known[key].base for key in keys}:
                continue
            if not image.exists:
                print(f"build-images: {image.key}: there is no {image.file}", file=sys.stderr)
                continue
            digests[image.name] = inputs = image.inputs(digests[image.base])
            if not _is_made(image, inputs):
                _make(image, inputs)
            made.append(image)
        prune()
    return made


def archive(image: Image) -> Path:
    """Where an image's docker archive is; beside it, .json says what it was made from."""
    return ARCHIVES / f"{image.key}.tar"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_made(image: Image, inputs: str) -> bool:
    record = archive(image).with_suffix(".json")
    return (
        archive(image).is_file()
        and record.is_file()
        and json.loads(record.read_text())["inputs"] == inputs
        and bool(image_id(image.name))
    )


def _make(image: Image, inputs: str) -> None:
    began = time.monotonic()
    record, whole = archive(image).with_suffix(".json"), archive(image)
    record.unlink(missing_ok=True)
    command = [*SETTINGS, "--file", str(REPOSITORY / image.file), "--target", image.target]
    command += ["--tag", image.name, "--build-arg", f"{image.base_argument}={image.base}"]
    for name, value in image.arguments:
        command += ["--build-arg", f"{name}={value}"]
    with pip_settings.for_a_build() as options:
        buildah("bud", *command, *options, str(REPOSITORY / image.context), says=image.key)
    whole.parent.mkdir(parents=True, exist_ok=True)
    partial = whole.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    buildah("push", "--quiet", image.name, f"docker-archive:{partial}:{image.name}")
    partial.rename(whole)
    identity = image_id(image.name)
    record.write_text(json.dumps({"name": image.name, "inputs": inputs, "id": identity}))
    print(f"build-images: {image.name} ({time.monotonic() - began:.0f} s)", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="build-images", description=__doc__)
    keys = list(all_images())
    parser.add_argument("--only", default=",".join(keys), help=f"of {', '.join(keys)}")
    wanted = parser.parse_args(arguments).only.split(",")
    if unknown := set(wanted) - set(keys):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(keys)}")
    try:
        build(wanted)
    except BuildFailedError as error:
        print(f"build-images: {error}", file=sys.stderr)
        return 1
    load_if_up(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
