"""Volumes of pods: what the kubelet writes is that of the new pod, what the app wrote travels."""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import PROGRAMS, PYTHON, Chrek, wait_for
from kubelet import Pod, in_memory, publish

from agent.criu.bundle import find
from agent.engine.means import Means
from agent.engine.restore import Choices, restore
from chrek.cli.machine import open_machine
from chrek.errors import DamagedError, MountsError, VolumeFileGoneError
from chrek.manifest import Manifest, decode
from chrek.runspec import Volume

CAPTURED = "2026_01_02_03_04_05.111111111"
LATER = "2026_06_07_08_09_10.222"
LATER_STILL = "2026_06_07_09_10_11.3333333333"
KEYS = {"settings.ini": "colour = red", "more/deep.txt": "deep"}


@dataclasses.dataclass
class Kubelet:
    """Makes pods whose volumes are below the test's root."""

    place: Path
    stack: ExitStack

    def pod(self, uid: str, stamp: str, keys: dict[str, str], password: str) -> Pod:
        pod = Pod(self.place, uid)
        publish(pod.volume("configmap", "config"), stamp, keys)
        for volume in (pod.volume("secret", "secret"), pod.volume("empty-dir", "memory")):
            self.stack.enter_context(in_memory(volume))
        publish(pod.volume("secret", "secret"), stamp, {"password": password})
        pod.volume("empty-dir", "cache")
        pod.own_file("etc-hosts", f"127.0.0.1 localhost\n10.0.0.1 {uid} {uid}.example\n")
        pod.own_file("termination-log", "")
        return pod


def volumes(pod: Pod) -> list[Volume]:
    """What the chosen container of such a pod mounts."""
    return [
        Volume(str(PROGRAMS), "/programs", read_only=True),
        Volume(str(pod.volume("configmap", "config")), "/etc/config", read_only=True),
        Volume(str(pod.volume("secret", "secret")), "/etc/secret", read_only=True),
        Volume(str(pod.volume("empty-dir", "cache")), "/cache"),
        Volume(str(pod.volume("empty-dir", "memory")), "/memory"),
        Volume(str(pod.home / "etc-hosts"), "/etc/hosts"),
        Volume(str(pod.home / "termination-log"), "/dev/termination-log"),
    ]


@pytest.fixture
def kubelet(chrek: Chrek) -> Iterator[Kubelet]:
    with ExitStack() as stack:
        yield Kubelet(chrek.root / "kubelet", stack)


@pytest.fixture
def source(chrek: Chrek, kubelet: Kubelet) -> Pod:
    """The pod `source`, which runs; its checkpoint is `warm`."""
    pod = kubelet.pod("source-uid", CAPTURED, KEYS, "open sesame")
    options: list[str] = []
    for volume in volumes(pod)[1:]:
        mode = ":ro" if volume.read_only else ""
        options += ["--volume", f"{volume.source}:{volume.target}{mode}"]
    chrek.run("source", PYTHON, "/programs/volumes.py", options=tuple(options))
    return pod


async def restored(chrek: Chrek, pod: Pod, *, restart: bool = False) -> None:
    """The checkpoint `warm` restored into a container `copy` of `pod`."""
    machine = open_machine(chrek.root)
    shim = chrek.environment.get("CHREK_TEST_PRLIMIT_SHIM")
    means = Means(find(), dataclasses.replace(machine.settings, test_shim=shim), machine.keys())
    spec = manifest(chrek).spec
    assert spec is not None
    target = await machine.start("copy", msgspec.structs.replace(spec, volumes=volumes(pod)))
    choices = Choices("default", restart=restart)
    await restore(target, checkpoint(chrek), means=means, choices=choices)


def checkpoint(chrek: Chrek) -> Path:
    (found,) = (chrek.root / "checkpoints/default/warm").iterdir()
    return found


def manifest(chrek: Chrek) -> Manifest:
    return decode((checkpoint(chrek) / "manifest.json").read_bytes())


def asked(chrek: Chrek, name: str) -> Any:
    """What the program in a container says of its volumes."""
    answer = chrek.inside(name, "/tmp/answer")
    answer.unlink(missing_ok=True)
    chrek.inside(name, "/tmp/ask").touch()
    wait_for(answer.exists, "the program to answer")
    return json.loads(answer.read_text())


async def test_config_files_in_use_are_those_of_the_new_pod(
    chrek: Chrek, kubelet: Kubelet, source: Pod
) -> None:
    chrek("checkpoint", "source", "--as", "warm")
    changed = {"settings.ini": "colour = green, and longer than before", "more/deep.txt": "deeper"}
    pod = kubelet.pod("copy-uid", LATER, changed | {"new": "key"}, "another password")

    await restored(chrek, pod)

    told = asked(chrek, "copy")
    assert told["config"] == changed["settings.ini"]
    assert told["config path"] == f"/etc/config/..{LATER}/settings.ini"
    assert told["nested"] == "deeper"
    assert told["secret"] == "another password"
    assert "copy-uid" in told["hosts"]
    assert told["mapped"] == "colour = gre"  # as much as was mapped
    assert told["directory"] == ["more", "new", "settings.ini"]
    assert told["cwd"] == f"/etc/config/..{LATER}/more"
    assert asked(chrek, "source")["config"] == KEYS["settings.ini"]


async def test_watches_tell_of_the_new_pods_changes(
    chrek: Chrek, kubelet: Kubelet, source: Pod
) -> None:
    chrek("checkpoint", "source", "--as", "warm")
    pod = kubelet.pod("copy-uid", LATER, KEYS, "open sesame")
    await restored(chrek, pod)
    asked(chrek, "copy")

    publish(pod.volume("configmap", "config"), LATER_STILL, {"settings.ini": "blue"})
    publish(pod.volume("secret", "secret"), LATER_STILL, {"password": "new"})

    heard = asked(chrek, "copy")["heard"]
    assert {path for path, _, _ in heard} == {
        "/etc/config",
        "/etc/config/settings.ini",
        "/etc/secret",
        "/etc/secret/password",
    }
    assert ["/etc/config", "..data"] in [[path, name] for path, _, name in heard]


async def test_a_key_that_is_gone_is_named_before_any_work(
    chrek: Chrek, kubelet: Kubelet, source: Pod
) -> None:
    chrek("checkpoint", "source", "--as", "warm")
    pod = kubelet.pod("copy-uid", LATER, {"settings.ini": "colour = red"}, "open sesame")

    with pytest.raises(VolumeFileGoneError, match=r"more/deep\.txt|more") as caught:
        await restored(chrek, pod)

    assert caught.value.reason == "VolumeFileGone"
    assert not (pod.volume("empty-dir", "cache") / "app").exists()


async def test_what_the_app_put_into_empty_dirs_is_there_beside_what_others_did(
    chrek: Chrek, kubelet: Kubelet, source: Pod
) -> None:
    (source.volume("empty-dir", "cache") / "sidecar").write_text("of the source's sidecar")
    chrek("checkpoint", "source", "--as", "warm")
    pod = kubelet.pod("copy-uid", LATER, KEYS, "open sesame")
    cache = pod.volume("empty-dir", "cache")
    (cache / "app").mkdir()
    (cache / "app/theirs").write_text("of this pod's sidecar")

    await restored(chrek, pod)

    asked(chrek, "copy")
    assert (cache / "app/index").read_text() == "written by the app"
    assert (cache / "app/parts").is_dir()
    assert (cache / "app/theirs").read_text() == "of this pod's sidecar"
    assert (cache / "sidecar").read_text() == "of the source's sidecar"
    assert (cache / "app.log").read_text() == "started\nasked\n"
    assert chrek.inside("copy", "/memory/app-state").read_text() == "in memory"
    roots = {root.point: root.kind for root in manifest(chrek).facts.file_roots}
    assert roots["/cache"] == roots["/memory"] == "volume"
    assert not {"/etc/config", "/etc/secret", "/chrek", "/programs"} & roots.keys()


async def test_after_a_restart_empty_dirs_are_left_as_they_are(
    chrek: Chrek, kubelet: Kubelet, source: Pod
) -> None:
    chrek("checkpoint", "source", "--as", "warm")
    pod = kubelet.pod("copy-uid", LATER, KEYS, "open sesame")
    cache = pod.volume("empty-dir", "cache")
    (cache / "app.log").write_text("of the container before\n")

    await restored(chrek, pod, restart=True)

    asked(chrek, "copy")
    assert (cache / "app.log").read_text() == "of the container before\nasked\n"
    assert not (cache / "app").exists()


async def test_a_cold_start_finds_no_files_of_the_source_in_empty_dirs(
    chrek: Chrek, kubelet: Kubelet, source: Pod
) -> None:
    chrek("checkpoint", "source", "--as", "warm")
    pod = kubelet.pod("copy-uid", LATER, KEYS, "open sesame")
    cache = pod.volume("empty-dir", "cache")
    (cache / "theirs").write_text("of this pod's sidecar")
    pages = max(checkpoint(chrek).glob("criu/pages-*.img"), key=lambda path: path.stat().st_size)
    pages.write_bytes(pages.read_bytes()[:-1] + b"?")

    with pytest.raises(DamagedError, match="pages-"):  # found when all else was done
        await restored(chrek, pod)

    assert [path.name for path in cache.iterdir()] == ["theirs"]


async def test_an_empty_dir_that_became_the_users_own_volume_is_not_written_to(
    chrek: Chrek, kubelet: Kubelet, source: Pod
) -> None:
    chrek("checkpoint", "source", "--as", "warm")
    pod = kubelet.pod("copy-uid", LATER, KEYS, "open sesame")
    pod.volume("empty-dir", "cache").rmdir()
    claim = pod.volume("csi", "claim")
    (pod.volumes / "kubernetes.io~empty-dir/cache").symlink_to(claim)

    with pytest.raises(MountsError, match="another volume here: /cache"):
        await restored(chrek, pod)

    assert not list(claim.iterdir())


def test_too_large_an_empty_dir_is_refused_by_name(chrek: Chrek, source: Pod) -> None:
    with (source.volume("empty-dir", "cache") / "model").open("wb") as file:
        file.truncate(5 << 30)
    said = chrek("checkpoint", "source", "--as", "warm", code=1).err
    assert "FilesTooLarge" in said
    assert "/cache 5120 MiB" in said
    assert asked(chrek, "source")["config"] == KEYS["settings.ini"]
