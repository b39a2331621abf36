"""Images as registries hold them: documents and their digests, made by hand."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

LAYER = b"no layer is ever read"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def document(value: object) -> bytes:
    return json.dumps(value).encode()


@dataclass
class Stored:
    """One manifest or index, and all that it needs."""

    content: bytes
    media_type: str
    blobs: list[bytes] = field(default_factory=list)
    inner: list["Stored"] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return digest(self.content)


def config(
    entrypoint: list[str] | None = None,
    cmd: list[str] | None = None,
    *,
    architecture: str = "amd64",
    os: str = "linux",
    **more: Any,
) -> bytes:
    run = {"Entrypoint": entrypoint, "Cmd": cmd, "Env": ["PATH=/bin"], "Labels": {"a": "b"}}
    layers = {"type": "layers", "diff_ids": [digest(LAYER)]}
    value = {"architecture": architecture, "os": os, "config": run, "rootfs": layers}
    return document(value | more)


def image(content: bytes, *, docker: bool = False, config_type: str | None = None) -> Stored:
    """A manifest of one platform whose config is `content`."""
    kinds = (
        (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER)
        if docker
        else (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER)
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": kinds[0],
        "config": descriptor(config_type or kinds[1], content),
        "layers": [descriptor(kinds[2], LAYER)],
    }
    return Stored(document(manifest), kinds[0], [content, LAYER])


def index(*inner: tuple[Stored, str | None], docker: bool = False) -> Stored:
    """Of images, each with its platform as os/architecture."""
    kind = DOCKER_LIST if docker else OCI_INDEX
    manifests = []
    for stored, platform in inner:
        entry = descriptor(stored.media_type, stored.content)
        if platform:
            os, architecture = platform.split("/")
            entry["platform"] = {"os": os, "architecture": architecture}
        manifests.append(entry)
    value = {"schemaVersion": 2, "mediaType": kind, "manifests": manifests}
    return Stored(document(value), kind, inner=[stored for stored, _ in inner])


def descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(content), "size": len(content)}
