"""A manifest read is the manifest written, whatever is in it."""

import contextlib
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chrek import manifest as manifests
from chrek.errors import DamagedError, FormatError
from chrek.manifest import (
    AddressFact,
    Compressed,
    Facts,
    FileRoot,
    Manifest,
    MountFact,
    ProcessFact,
    StoredFile,
)
from chrek.runspec import Network, RunSpec, Volume

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SIZE = st.integers(0, 1 << 62)
PID = st.integers(1, 1 << 22)
HEX = "0123456789abcdef"
REAPER = st.text(HEX, min_size=16, max_size=16).map(lambda found: f"reaper-{found}")
FILE = st.builds(
    StoredFile,
    name=st.sampled_from(
        ["files.tar.zst", "criu/pages-1.img", "criu/_a.b-c", "pages-1.bin", "pages.idx"]
    )
    | REAPER,
    size_bytes=SIZE,
    digest=st.text(HEX, min_size=64, max_size=64).map(lambda found: f"blake3:{found}"),
)
FACTS = st.builds(
    Facts,
    **dict.fromkeys(
        ["architecture", "cpu_model", "kernel", "criu", "chrek_init", "hostname"], TEXT
    ),
    cpu_features=st.lists(TEXT, max_size=3),
    reaper=REAPER,
    uid=SIZE,
    gid=SIZE,
    root_pid=PID,
    max_pid=PID,
    stdio=st.lists(TEXT, max_size=3),
    addresses=st.lists(
        st.builds(AddressFact, TEXT, st.sampled_from(["inet", "inet6"]), TEXT), max_size=2
    ),
    mounts=st.lists(st.builds(MountFact, TEXT, TEXT, st.booleans()), max_size=2),
    file_roots=st.lists(st.builds(FileRoot, TEXT, st.sampled_from(["overlay", "tmpfs"]))),
    processes=st.lists(st.builds(ProcessFact, PID, PID, TEXT, SIZE, SIZE, SIZE), max_size=2),
    cgroup_version=st.sampled_from([1, 2]),
)
SPEC = st.builds(
    RunSpec,
    argv=st.lists(TEXT, max_size=3),
    env=st.dictionaries(TEXT, TEXT, max_size=3),
    cwd=TEXT,
    uid=SIZE,
    gid=SIZE,
    network=st.sampled_from(get_args(Network)),
    volumes=st.lists(st.builds(Volume, TEXT, TEXT, st.booleans()), max_size=2),
    drop_capabilities=st.lists(TEXT, max_size=2),
    no_new_privileges=st.booleans(),
    read_only=st.booleans(),
    memory_bytes=SIZE,
    seccomp=st.none() | st.dictionaries(TEXT, TEXT | st.lists(TEXT, max_size=2), max_size=2),
)
SECONDS = st.floats(0, 1e9)
MANIFEST = st.builds(
    Manifest,
    format=st.just(1),
    **dict.fromkeys(["id", "variant", "namespace", "created", "chrek", "source"], TEXT),
    facts=FACTS,
    files=st.lists(FILE, max_size=4),
    phases=st.dictionaries(TEXT, SECONDS, max_size=3),
    frozen_seconds=SECONDS,
    spec=st.none() | SPEC,
)
FAST = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FAST
@given(MANIFEST)
def test_what_is_decoded_is_what_was_encoded(manifest: Manifest) -> None:
    assert manifests.decode(manifests.encode(manifest)) == manifest
    assert manifest.size_bytes == sum(file.size_bytes for file in manifest.files)


@FAST
@given(MANIFEST, st.data())
def test_a_manifest_with_a_byte_changed_is_read_or_refused_with_a_reason(
    manifest: Manifest, data: Any
) -> None:
    content = bytearray(manifests.encode(manifest))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DamagedError, FormatError):
        assert isinstance(manifests.decode(bytes(content)), Manifest)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_manifest_are_damage(content: bytes) -> None:
    with pytest.raises(DamagedError):
        manifests.decode(content)


@FAST
@given(MANIFEST)
def test_a_manifest_is_json_for_people(manifest: Manifest) -> None:
    content = manifests.encode(manifest)
    assert content.endswith(b"}\n")
    assert content.count(b"\n") > 10
    assert msgspec.json.decode(content)["format"] == 1


@FAST
@given(MANIFEST, st.sampled_from([1, 2, 3, 4]), st.sampled_from(["blake3", "blake3-1m"]))
def test_only_page_files_of_format_4_can_be_compressed(
    manifest: Manifest, number: int, kind: str
) -> None:
    made = Compressed("zstd", 17, f"blake3:{'0' * 64}")
    file = StoredFile("pages-1.bin", 1 << 20, f"{kind}:{'0' * 64}", made)
    content = manifests.encode(msgspec.structs.replace(manifest, format=number, files=[file]))
    if (number, kind) == (4, "blake3-1m"):
        found = manifests.decode(content)
        assert (found.size_bytes, found.unpacked_bytes) == (17, 1 << 20)
        return
    with pytest.raises(DamagedError, match=r"pages-1\.bin compressed"):
        manifests.decode(content)
