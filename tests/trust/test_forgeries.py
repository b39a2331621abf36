"""Real checkpoints, forged by hand: each is refused by name, the placeholder starts cold, and
nothing of it is left. `test_what_may_pass` has the ones that are restored."""

import json
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.criu import framing
from agent.criu.bundle import Bundle, messages
from agent.engine.restore import Restored
from agent.kernel import process
from agent.store import checkpoints
from agent.trust import capabilities, containers, gate, kinds
from agent.trust.rights import Container
from chrek.errors import ExceedsError
from chrek.runspec import RunSpec
from tests.machine.conftest import PYTHON, wait_for
from tests.trust.forging import Forged, flip
from tests.trust.keymaking import keyring
from tests.trust.places import Place

SECCOMP = (
    '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":'
    ' [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]}'
)
SYS_ADMIN = capabilities.SYS_ADMIN
ALL = [0xFFFFFFFF, 0x1FF]


@dataclass(frozen=True)
class Captured:
    """A source's checkpoint. container: the rights of a placeholder of the same spec."""

    place: Place
    path: Path
    bundle: Bundle
    spec: RunSpec
    container: Container

    def copy(self, name: str) -> Forged:
        return Forged.copy(self.path, f"{self.path.parent.name}-{name}", self.bundle)

    def refused(self, path: Path, reason: str, **more: Any) -> str:
        """Restore it, which must not succeed; what was said."""
        place = self.place
        name, how = place.tried(path, self.spec, **more)
        try:
            assert not isinstance(how, Restored)
            assert how.reason == reason, how
            wait_for(lambda: "ready" in place.log(name), "the cold start")
            assert reason in place.log(name)
            assert process.comm(place.init(name)) == "chrek:running"
            assert len(process.in_pid_namespace(place.machine.containers.target(name).init)) <= 4
            return how.message
        finally:
            place("stop", name)
            shutil.rmtree(path, ignore_errors=True)

    def stopped(self, forged: Forged) -> str:
        """Show it to the gate alone, which must refuse; what was said."""
        names = [image.name for image in forged.images.iterdir()]
        read = {n: (forged.images / n).read_bytes() for n in names if kinds.read_by_the_gate(n)}
        try:
            with pytest.raises(ExceedsError) as raised:
                gate.passed(self.bundle, names, read, self.container)
        finally:
            shutil.rmtree(forged.path)
        return raised.value.message


def captured(place: Place, bundle: Bundle, name: str, *options: str) -> Captured:
    place.run(name, PYTHON, "/programs/counter.py", options=options)
    path = place.checkpoint(name)
    container = containers.of(place.machine.containers.target(name))
    place("stop", name)
    spec = checkpoints.load(path, place.keys).spec
    assert spec is not None
    return Captured(place, path, bundle, spec, container)


@pytest.fixture(scope="module")
def plain(place: Place, bundle: Bundle) -> Captured:
    """Root with the capabilities that a container has by default, and no_new_privs."""
    return captured(place, bundle, "plain")


@pytest.fixture(scope="module")
def restricted(place: Place, bundle: Bundle) -> Captured:
    """As Pod Security `restricted` has it: uid 1000, no capabilities, seccomp, no_new_privs."""
    profile = place.root / "seccomp.json"
    profile.write_text(SECCOMP)
    options = ("--user", "1000:1000", "--cap-drop", "ALL", "--seccomp", str(profile))
    return captured(place, bundle, "restricted", *options)


@pytest.fixture(autouse=True)
def nothing_is_left(place: Place) -> Iterator[None]:
    yield
    assert [path.name for path in (place.root / "operations").glob("*.json")] == []
    assert [entry for entry in place("ps", "--json").json if entry["state"] == "running"] == []


# ---- signatures: what anybody can do who may write the volume ------------------------------------


def test_an_unsigned_checkpoint_is_refused(plain: Captured) -> None:
    forged = plain.copy("unsigned")
    path = forged.seal(plain.place.keys)
    (path / "manifest.json.sig").unlink()
    plain.refused(path, "CheckpointUnsigned")


@pytest.mark.parametrize("edit", ["manifest.json", "manifest.json.sig"])
def test_an_edited_manifest_or_signature_is_refused(plain: Captured, edit: str) -> None:
    path = plain.copy(f"edited-{len(edit)}").seal(plain.place.keys)
    content = (path / edit).read_text()
    changed = {
        "manifest.json": content.replace('"max_pid": 1', '"max_pid": 2'),
        "manifest.json.sig": content.replace('signature":"', 'signature":"AAAA')[:-6] + '=="}',
    }[edit]
    assert changed != content
    (path / edit).write_text(changed)
    plain.refused(path, "SignatureInvalid")


def test_an_edited_image_is_refused(plain: Captured) -> None:
    path = plain.copy("image").seal(plain.place.keys)
    flip(path / "criu/pstree.img", 20)
    assert "pstree.img" in plain.refused(path, "CheckpointDamaged")


def test_a_checkpoint_of_an_unknown_key_is_refused(plain: Captured) -> None:
    stranger = keyring()
    path = plain.copy("stranger").seal(stranger)
    assert stranger.key_id in plain.refused(path, "SigningKeyUnknown")


def test_a_checkpoint_of_another_namespace_is_refused(plain: Captured) -> None:
    path = plain.copy("foreign").seal(plain.place.keys, namespace="tenant-b")
    assert "tenant-b" in plain.refused(path, "ForeignNamespace")


def test_a_checkpoint_in_its_own_namespace_is_not_for_a_pod_of_another(plain: Captured) -> None:
    path = plain.copy("wanted").seal(plain.place.keys)
    assert "tenant-b" in plain.refused(path, "ForeignNamespace", namespace="tenant-b")


def test_a_checkpoint_moved_to_another_id_is_refused(plain: Captured) -> None:
    path = plain.copy("moved").seal(plain.place.keys)
    moved = path.parent.with_name("plain-elsewhere")
    path.parent.rename(moved)
    plain.refused(moved / path.name, "CheckpointDamaged")


def test_files_that_were_added_are_never_read(plain: Captured) -> None:
    """CRIU opens images by their names; none of these is in the directory that it is given."""
    path = plain.copy("extra").seal(plain.place.keys)
    for name in ("creds-1002.img", "mountpoints-6.img", "userns-7.img", "apparmor.img", "parent"):
        (path / "criu" / name).write_bytes(b"not an image: read, it would fail the restore")
    name, how = plain.place.tried(path, plain.spec)
    try:
        assert isinstance(how, Restored), how
    finally:
        plain.place("stop", name)
        shutil.rmtree(path)


def test_ls_and_verify_name_what_is_not_trusted(plain: Captured) -> None:
    path = plain.copy("listed").seal(keyring())
    listed = {entry["id"]: entry for entry in plain.place("ls", "--json").json}
    assert listed[path.parent.name]["reason"] == "SigningKeyUnknown"
    assert "reason" not in listed["plain"]
    for command in ("verify", "inspect", "restore"):
        assert "SigningKeyUnknown" in plain.place(command, path.parent.name, code=1).err
    shutil.rmtree(path)


# ---- the gate: what only somebody with the key could do ------------------------------------------

FORGERIES: dict[str, tuple[Callable[[Forged], object], str]] = {
    "cap-prm": (lambda f: f.credentials(cap_prm=ALL, cap_eff=ALL), "CAP_SYS_ADMIN"),
    "cap-bnd": (lambda f: f.credentials(cap_bnd=[SYS_ADMIN, 0]), "bounding set"),
    "cap-inh": (lambda f: f.credentials(cap_inh=[SYS_ADMIN, 0]), "inheritable set"),
    "cap-amb": (lambda f: f.credentials(cap_amb=[0, 1 << 7]), "CAP_BPF"),
    "new-privs": (lambda f: f.credentials(no_new_privs=0), "no_new_privs cleared"),
    "mounts": (lambda f: (f.images / "mountpoints-6.img").touch(), "mountpoints-6.img"),
    "netdev": (lambda f: (f.images / "netdev-2.img").touch(), "netdev-2.img"),
    "userns": (lambda f: (f.images / "userns-7.img").touch(), "userns-7.img"),
    "apparmor": (lambda f: (f.images / "apparmor.img").touch(), "apparmor.img"),
    "clocks": (lambda f: (f.images / "timens-9.img").touch(), "timens-9.img"),
    "old-creds": (lambda f: (f.images / "creds-1002.img").touch(), "creds-1002.img"),
    "new-netns": (lambda f: spaced(f, "net_ns_id"), "network namespace"),
    "new-mntns": (lambda f: spaced(f, "mnt_ns_id"), "mount namespace"),
    "new-userns": (lambda f: spaced(f, "user_ns_id"), "user namespace"),
    "new-pidns": (lambda f: spaced(f, "pid_ns_id"), "PID namespace"),
    "real-time": (lambda f: scheduled(f, policy=1, prio=50), "SCHED_FIFO"),
    "nice": (lambda f: scheduled(f, nice=-20), "nice -20"),
    "device": (lambda f: opened(f, "BPFMAP"), "BPFMAP"),
    "namespace-fd": (lambda f: opened(f, "NS"), "kind NS"),
    "external": (lambda f: opened(f, "EXT"), "kind EXT"),
}
"""Refused for a container with the default capabilities, and so for any with less."""

OF_RESTRICTED: dict[str, tuple[Callable[[Forged], object], str]] = {
    "root": (lambda f: f.credentials(uid=0, euid=0, suid=0, fsuid=0), "uid 0"),
    "saved-root": (lambda f: f.credentials(suid=0), "uid 0"),
    "gid": (lambda f: f.credentials(egid=0), "gid 0"),
    "groups": (lambda f: f.credentials(groups=[0, 1000]), "gid 0"),
    "secure-bits": (lambda f: f.credentials(secbits=0x2F), "securebits 0x2f"),
    "chown": (lambda f: f.credentials(cap_eff=[1, 0], cap_prm=[1, 0]), "CAP_CHOWN"),
    "no-filter": (lambda f: f.cores(unfiltered), "no seccomp filter"),
    "strict": (lambda f: f.cores(strict), "seccomp mode 1"),
    "packets": (lambda f: opened(f, "PACKETSK"), "CAP_NET_RAW"),
    "tunnel": (lambda f: opened(f, "TUNF"), "CAP_NET_ADMIN"),
}


def spaced(forged: Forged, field: str) -> None:
    for place in forged.images.glob("ids-*.img"):
        forged.image(place.name, lambda entries: setattr(entries[0], field, 4242))


def scheduled(forged: Forged, *, policy: int = 0, prio: int = 0, nice: int = 0) -> None:
    def change(core: Any) -> None:
        core.thread_core.sched_policy = policy
        core.thread_core.sched_prio = prio
        core.thread_core.sched_nice = nice

    forged.cores(change)


def opened(forged: Forged, kind: str) -> None:
    def change(entries: list[Any]) -> None:
        kinds = entries[0].DESCRIPTOR.fields_by_name["type"].enum_type.values_by_name
        entries[-1].type = kinds[kind].number

    forged.image("files.img", change)


def unfiltered(core: Any) -> None:
    core.thread_core.ClearField("seccomp_mode")
    core.thread_core.ClearField("seccomp_filter")


def strict(core: Any) -> None:
    core.thread_core.seccomp_mode = 1


@pytest.mark.parametrize("name", FORGERIES)
def test_the_gate_stops_what_no_container_has(plain: Captured, name: str) -> None:
    forge, said = FORGERIES[name]
    forged = plain.copy(name)
    forge(forged)
    assert said in plain.stopped(forged)


@pytest.mark.parametrize("name", OF_RESTRICTED)
def test_the_gate_stops_what_a_restricted_container_has_not(
    restricted: Captured, name: str
) -> None:
    forge, said = OF_RESTRICTED[name]
    forged = restricted.copy(name)
    forge(forged)
    assert said in restricted.stopped(forged)


@pytest.mark.parametrize("name", ["cap-prm", "new-privs", "mounts"])
def test_what_the_gate_stops_starts_cold(plain: Captured, name: str) -> None:
    forge, said = FORGERIES[name]
    forged = plain.copy(name)
    forge(forged)
    assert said in plain.refused(forged.seal(plain.place.keys), "PrivilegeExceeds")


@pytest.mark.parametrize("name", ["root", "no-filter"])
def test_what_the_gate_stops_of_a_restricted_container_starts_cold(
    restricted: Captured, name: str
) -> None:
    forge, said = OF_RESTRICTED[name]
    forged = restricted.copy(name)
    forge(forged)
    assert said in restricted.refused(forged.seal(restricted.place.keys), "PrivilegeExceeds")


def test_one_thread_of_many_without_its_filter_is_refused(restricted: Captured) -> None:
    """All threads share their leader's filters, marked so: without the mark they have none."""
    forged = restricted.copy("thread")

    def change(entries: list[Any]) -> None:
        for program in entries[0].seccomp_filters:
            program.flags = 0

    forged.image("seccomp.img", change)
    assert "thread" in restricted.stopped(forged)


@pytest.mark.parametrize("name", ["cap_prm", "cap_bnd"])
def test_a_set_of_capabilities_of_another_size_is_damage(plain: Captured, name: str) -> None:
    forged = plain.copy(f"size-{name[-3:]}")
    forged.credentials(**{name: [0, 0, 0xFFFFFFFF]})
    plain.refused(forged.seal(plain.place.keys), "CheckpointDamaged")


def test_a_chain_of_filters_that_leads_in_circles_is_damage(restricted: Captured) -> None:
    forged = restricted.copy("circle")
    forged.image("seccomp.img", lambda entries: setattr(entries[0].seccomp_filters[0], "prev", 0))
    restricted.refused(forged.seal(restricted.place.keys), "CheckpointDamaged")


def test_a_missing_core_image_is_damage(plain: Captured) -> None:
    forged = plain.copy("core")
    max(forged.images.glob("core-*.img")).unlink()
    plain.refused(forged.seal(plain.place.keys), "CheckpointDamaged")


def test_a_deleted_set_uid_file_of_root_is_refused(restricted: Captured, bundle: Bundle) -> None:
    forged = restricted.copy("ghost")
    ghost = ghost_image(bundle, uid=0, gid=0, mode=stat.S_IFREG | 0o4755)
    (forged.images / "ghost-file-1.img").write_bytes(ghost)
    said = restricted.stopped(forged)
    assert "ghost-file-1.img belongs to uid 0" in said


def ghost_image(bundle: Bundle, **fields: int) -> bytes:
    entry = messages(bundle.path, "ghost_file_pb2").ghost_file_entry(**fields)
    return framing.joined(b"\x19CVT\xde\xb1\x4e\x18", [entry])


def test_the_manifest_of_a_capture_is_signed_by_this_machines_key(plain: Captured) -> None:
    told = json.loads((plain.path / "manifest.json.sig").read_text())
    assert told["key"] == plain.place.keys.key_id
    assert set(told) == {"key", "signature"}
