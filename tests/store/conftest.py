"""Checkpoints of a few small files, published in a store of their own."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.store import checkpoints
from agent.store.checkpoints import Checkpoints
from agent.trust import pem
from agent.trust.keys import SIGNING, Keyring, of_files
from chrek import manifest as manifests
from chrek.ids import CheckpointID
from chrek.manifest import Facts, FileRoot, Manifest

VARIANT = "0123456789abcdef"
ID = CheckpointID("warm")
FILES = {
    "criu/pages-1.img": os.urandom(200_000),
    "criu/inventory.img": b"small",
    "criu/empty.img": b"",
    "files.tar.zst": os.urandom(5000),
    "reaper-0123456789abcdef": b"\x7fELF",
}

Publish = Callable[..., Path]


@pytest.fixture
def store(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "claim", "default")


def facts() -> Facts:
    return Facts(
        architecture="x86_64",
        cpu_model="a processor",
        cpu_features=["avx", "sse"],
        kernel="6.1",
        criu="4.2",
        chrek_init="chrek-init 0.1",
        reaper="reaper-0123456789abcdef",
        hostname="here",
        uid=0,
        gid=0,
        root_pid=1000,
        max_pid=1001,
        stdio=["pipe:[1]", "/dev/null", ""],
        addresses=[],
        mounts=[],
        file_roots=[FileRoot("/", "overlay")],
        processes=[],
        cgroup_version=2,
    )


@pytest.fixture(scope="session")
def keys() -> Keyring:
    return Keyring(of_files({SIGNING: pem.new()}, "a test"))


def stage(staged: Path, files: dict[str, bytes], keys: Keyring, variant: str = VARIANT) -> None:
    (staged / "criu").mkdir()
    for name, content in files.items():
        (staged / name).write_bytes(content)
    manifest = Manifest(
        format=1,
        id=ID,
        variant=variant,
        namespace="default",
        created="2026-01-01T00:00:00Z",
        chrek="0.1.0",
        source="web",
        facts=facts(),
        files=checkpoints.table(staged),
        phases={"dump": 0.25},
        frozen_seconds=0.3,
    )
    encoded = manifests.encode(manifest)
    (staged / "manifest.json.sig").write_bytes(keys.sign(encoded))
    (staged / "manifest.json").write_bytes(encoded)


@pytest.fixture
def publish(store: Checkpoints, keys: Keyring) -> Publish:
    def publish(
        files: dict[str, bytes] = FILES, *, variant: str = VARIANT, replace: bool = False
    ) -> Path:
        place = store.staging_path(ID)
        with store.staging(place):
            stage(place, files, keys, variant)
            return store.publish(place, variant, replace=replace)

    return publish


@pytest.fixture
def published(publish: Publish) -> Path:
    return publish()
