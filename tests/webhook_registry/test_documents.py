"""Challenges, manifests, configs: what is read of them, and what is refused."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.registry import challenge, image, manifest
from webhook.registry.challenge import Challenge
from webhook.registry.errors import (
    ImageKindError,
    ImagePlatformsError,
    ImageTooLargeError,
    RegistryAnswerError,
    RegistryError,
)
from webhook.registry.image import Variant
from webhook.registry.manifest import Index, Manifest

from . import images
from .images import DOCKER_LIST, OCI_INDEX, OCI_MANIFEST, config, descriptor, document

BOTH = ("amd64", "arm64")
CONFIG = config(["/app"])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            'Bearer realm="https://auth.example/token",service="s",scope="repository:a:pull,push"',
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.example/token",
                        "service": "s",
                        "scope": "repository:a:pull,push",
                    },
                )
            ],
        ),
        ('BASIC Realm="a \\"b\\" c"', [Challenge("basic", {"realm": 'a "b" c'})]),
        ("Bearer realm=x , service = y", [Challenge("bearer", {"realm": "x", "service": "y"})]),
        (
            'Negotiate, Basic realm="x", Bearer realm="y"',
            [
                Challenge("negotiate", {}),
                Challenge("basic", {"realm": "x"}),
                Challenge("bearer", {"realm": "y"}),
            ],
        ),
        ('Bearer realm="first",realm="second"', [Challenge("bearer", {"realm": "first"})]),
        ('Bearer realm="open', [Challenge("bearer", {})]),
        ('realm="nobody"', []),
        ("", []),
        ("=,=", []),
        ("Basic", [Challenge("basic", {})]),
    ],
)
def test_a_challenge_is_read(header: str, expected: list[Challenge]) -> None:
    assert challenge.parse([header]) == expected


@given(st.lists(st.text()))
def test_any_header_is_read_without_an_error(headers: list[str]) -> None:
    challenge.parse(headers)


def test_a_long_header_takes_no_long_time() -> None:
    for piece in ("a ", "a=", '"', '"\\', "a=b,", " ,", "a" * 8000 + " "):
        challenge.parse([piece * (16000 // len(piece))])


def read(content: bytes, content_type: str = "") -> Manifest | Index:
    return manifest.parse(content, content_type, BOTH, "img")


@pytest.mark.parametrize("docker", [False, True])
def test_a_manifest_names_its_config(docker: bool) -> None:
    found = read(images.image(CONFIG, docker=docker).content)
    assert found == Manifest(images.digest(CONFIG), len(CONFIG))


@pytest.mark.parametrize("docker", [False, True])
def test_an_index_names_what_nodes_of_ours_run(docker: bool) -> None:
    one, two, other = (images.image(config([word]), docker=docker) for word in "abc")
    stored = images.index(
        (one, "linux/amd64"),
        (two, "linux/arm64"),
        (other, "windows/amd64"),
        (other, "linux/s390x"),
        (other, "unknown/unknown"),
        (other, None),
        docker=docker,
    )
    assert read(stored.content) == Index(tuple(sorted((one.digest, two.digest))))


def test_an_index_without_platforms_is_asked_for_all() -> None:
    one, two = images.image(config(["a"])), images.image(config(["b"]))
    found = read(images.index((one, None), (two, None)).content)
    assert found == Index(tuple(sorted((one.digest, two.digest))))


def test_a_manifest_without_media_type_has_that_of_its_header() -> None:
    value = json.loads(images.image(CONFIG).content)
    del value["mediaType"]
    assert isinstance(read(document(value), OCI_MANIFEST + "; charset=utf-8"), Manifest)
    assert isinstance(read(document(value)), Manifest)
    with pytest.raises(ImageKindError):
        read(document(value), OCI_INDEX)


def changed(**values: Any) -> bytes:
    return document(json.loads(images.image(CONFIG).content) | values)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", RegistryAnswerError),
        (b"<html>", RegistryAnswerError),
        (b"null", RegistryAnswerError),
        (b"[]", RegistryAnswerError),
        (b"[" * 1_000_000, RegistryAnswerError),
        (b'{"schemaVersion": 2, "layers": ' + b"[" * 1_000_000, RegistryAnswerError),
        (b"\xff", RegistryAnswerError),
        (b"{}", RegistryAnswerError),
        (changed(schemaVersion="2"), RegistryAnswerError),
        (changed(config={"mediaType": images.OCI_CONFIG}), RegistryAnswerError),
        (
            changed(config=descriptor(images.OCI_CONFIG, b"") | {"digest": "../x"}),
            RegistryAnswerError,
        ),
        (
            changed(config=descriptor(images.OCI_CONFIG, b"") | {"digest": "md5:1"}),
            RegistryAnswerError,
        ),
        (changed(schemaVersion=1), ImageKindError),
        (changed(config=None), ImageKindError),
        (changed(manifests=[]), ImageKindError),
        (changed(mediaType=DOCKER_LIST), ImageKindError),
        (
            changed(config=descriptor("application/vnd.cncf.helm.config.v1+json", b"")),
            ImageKindError,
        ),
        (
            document({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "manifests": []}),
            ImageKindError,
        ),
        (document({"schemaVersion": 2, "manifests": []}), ImagePlatformsError),
        (document({"schemaVersion": 2, "manifests": [{"digest": "x"}]}), RegistryAnswerError),
        (images.index((images.image(CONFIG), "windows/amd64")).content, ImagePlatformsError),
        (
            images.index(*((images.image(config([str(n)])), None) for n in range(9))).content,
            ImagePlatformsError,
        ),
    ],
)
def test_anything_else_is_refused(content: bytes, error: type[RegistryError]) -> None:
    with pytest.raises(error):
        read(content)


def test_a_config_says_what_starts() -> None:
    both = image.parse(config(["/a", "b c"], ["d", "ö"], architecture="arm64"), 1000, "img")
    assert both == Variant("linux", "arm64", ("/a", "b c"), ("d", "ö"))


@pytest.mark.parametrize(
    "content",
    [
        config(None, None),
        config([], []),
        document({"os": "linux", "architecture": "amd64"}),
        document({"os": "linux", "architecture": "amd64", "config": None}),
        document({"os": "linux", "architecture": "amd64", "config": {}}),
    ],
)
def test_a_config_may_start_nothing(content: bytes) -> None:
    assert image.parse(content, 1000, "img") == Variant("linux", "amd64", (), ())


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", RegistryAnswerError),
        (b"[]", RegistryAnswerError),
        (b'{"config": ' + b"[" * 1_000_000, RegistryAnswerError),
        (b'{"config": {"Cmd": ' + b"[" * 1_000_000, RegistryAnswerError),
        (b'{"history": ' + b"[" * 1_000_000, RegistryAnswerError),
        (document({"config": {"Entrypoint": "sh -c x"}}), RegistryAnswerError),
        (document({"config": {"Entrypoint": [1]}}), RegistryAnswerError),
        (document({"config": {"Entrypoint": [None]}}), RegistryAnswerError),
        (document({"config": {"Entrypoint": ["a\0b"]}}), RegistryAnswerError),
        (b'{"config": {"Entrypoint": ["\\ud800"]}}', RegistryAnswerError),
        (b'{"config": {"Entrypoint": ["\xff"]}}', RegistryAnswerError),
        (config(["a" * 600], ["b" * 600]), ImageTooLargeError),
        (config(["ö" * 600]), ImageTooLargeError),
        (config(["a"] * 1_000_000), ImageTooLargeError),
    ],
)
def test_a_config_that_no_node_could_start_is_refused(
    content: bytes, error: type[RegistryError]
) -> None:
    with pytest.raises(error):
        image.parse(content, 1000, "img")


def test_a_command_of_a_million_words_is_not_taken_apart() -> None:
    content = config(["abc"] * 1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(ImageTooLargeError):
            image.parse(content, 1000, "img")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2 * len(content)


def variant(architecture: str, *entrypoint: str, os: str = "linux") -> Variant:
    return Variant(os, architecture, entrypoint, ())


def test_platforms_that_agree_are_one() -> None:
    found = image.agreed([variant("amd64", "a"), variant("arm64", "a")], BOTH, "d", "img")
    assert (found.entrypoint, found.cmd, found.digest) == (("a",), (), "d")


def test_platforms_of_other_nodes_are_not_asked() -> None:
    others = [variant("s390x", "b"), variant("amd64", "c", os="windows")]
    assert image.agreed([*others, variant("amd64", "a")], BOTH, "d", "img").entrypoint == ("a",)
    with pytest.raises(ImagePlatformsError, match="no variant for linux/amd64, linux/arm64"):
        image.agreed(others, BOTH, "d", "img")


def test_platforms_that_disagree_are_refused_with_their_names() -> None:
    with pytest.raises(ImagePlatformsError, match="linux/amd64 and linux/arm64") as caught:
        image.agreed([variant("amd64", "a"), variant("arm64", "b")], BOTH, "d", "img")
    assert "command" in caught.value.hint
