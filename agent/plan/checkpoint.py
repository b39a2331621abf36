"""A Checkpoint object -> what deciding needs of it.

Its status is written by agents alone, but whoever may write it can put anything there that its
schema allows; names in it become parts of paths, so those that could not are left out.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agent.plan.reading import (
    EPOCH,
    JSON,
    entries,
    mapping,
    member,
    moment,
    seconds,
    strings,
    text,
    whole,
)
from agent.plan.workload import LABEL
from chrek.ids import is_label, is_variant
from chrek.pods import names

FINALIZER: Final = f"{names.GROUP}/data"
"""On a Checkpoint: its data is removed before it is."""
TRIMMED: Final = "Trimmed"
"""Condition of a Checkpoint that older variants were removed from."""

_TTL = re.compile(r"([0-9]{1,15})([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_CLAIM = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_VARIANTS: Final = 64


@dataclass(frozen=True, slots=True)
class VariantView:
    """A stored checkpoint. phase: Ready, Damaged. Empty strings: not recorded."""

    name: str
    phase: str
    created: datetime
    size_bytes: int = 0
    node: str = ""
    architecture: str = ""
    cpu_model: str = ""
    gpu_product: str = ""
    image_digest: str = ""
    environment_hash: str = ""
    restores: int = 0
    last_restore: datetime | None = None

    @property
    def used(self) -> datetime:
        """When it was last of use: made, or restored."""
        return max(self.created, self.last_restore or self.created)


@dataclass(frozen=True, slots=True)
class Lease:
    """renewed: None where nobody captures; then the rest tells of the last one that failed."""

    node: str = ""
    pod_name: str = ""
    pod_uid: str = ""
    started: datetime | None = None
    renewed: datetime | None = None
    failures: int = 0
    retry_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class ImageView:
    """What was learned of an image, by its name as written."""

    image: str
    digest: str
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckpointView:
    """problem: a sentence, if its name or namespace can be none; then nothing is done with it.
    claim, workload: empty where not said. keep, ttl_seconds: None where not said. trimmed: older
    variants were removed. finalized: the finalizer is set, so its data is removed before it is.
    """

    name: str
    namespace: str
    uid: str
    version: str
    created: datetime
    deleting: bool = False
    finalized: bool = False
    problem: str = ""
    claim: str = ""
    ttl_seconds: int | None = None
    keep: int | None = None
    workload: str = ""
    phase: str = "Pending"
    identity: str = ""
    cold_start_seconds: float | None = None
    restores: int = 0
    trimmed: bool = False
    variants: tuple[VariantView, ...] = ()
    lease: Lease | None = None
    images: tuple[ImageView, ...] = ()

    @property
    def auto(self) -> bool:
        """Whether chrek named it, after the pods that it fits, rather than a person."""
        return is_variant(self.name) and self.identity in ("", self.name)

    @property
    def size_bytes(self) -> int:
        """What it takes in the claim."""
        return sum(each.size_bytes for each in self.variants)

    @property
    def ready(self) -> tuple[VariantView, ...]:
        """Its variants that can be restored, newest first."""
        found = [each for each in self.variants if each.phase == "Ready"]
        return tuple(sorted(found, key=lambda each: (each.created, each.name), reverse=True))


def parse(found: JSON) -> CheckpointView:
    """The view of a Checkpoint, whatever its form."""
    name = text(found, "metadata", "name", most=253)
    namespace = text(found, "metadata", "namespace")
    is_good = is_label(name) and is_label(namespace)
    claim = text(found, "spec", "claim", most=253)
    keep = whole(found, "spec", "keep", most=_VARIANTS)
    finalizers = member(found, "metadata", "finalizers")
    identity = text(found, "status", "identity")
    return CheckpointView(
        name=name,
        namespace=namespace,
        uid=text(found, "metadata", "uid"),
        version=text(found, "metadata", "resourceVersion"),
        created=moment(found, "metadata", "creationTimestamp") or EPOCH,
        deleting=bool(text(found, "metadata", "deletionTimestamp")),
        finalized=isinstance(finalizers, list) and FINALIZER in finalizers,
        problem="" if is_good else "its name or namespace is not a DNS label",
        claim=claim if _CLAIM.fullmatch(claim) else "",
        ttl_seconds=_ttl(text(found, "spec", "ttl")),
        keep=keep or None,
        workload=strings(found, "metadata", "annotations").get(LABEL, ""),
        phase=text(found, "status", "phase") or "Pending",
        identity=identity if is_variant(identity) else "",
        cold_start_seconds=seconds(found, "status", "coldStartSeconds"),
        restores=whole(found, "status", "restores"),
        trimmed=any(
            text(each, "type") == TRIMMED and text(each, "status") == "True"
            for each in entries(found, "status", "conditions")
        ),
        variants=_variants(found),
        lease=lease(found.get("status")),
        images=_images(found),
    )


def lease(status: object) -> Lease | None:
    """The lease in a Checkpoint's status."""
    found = mapping(status, "capture")
    if not found:
        return None
    return Lease(
        node=text(found, "node"),
        pod_name=text(found, "podName"),
        pod_uid=text(found, "podUID"),
        started=moment(found, "startedAt"),
        renewed=moment(found, "renewedAt"),
        failures=whole(found, "failures"),
        retry_after=moment(found, "retryAfter"),
    )


def _ttl(written: str) -> int | None:
    matched = _TTL.fullmatch(written)
    return int(matched[1]) * _UNITS[matched[2]] if matched else None


def _variants(found: JSON) -> tuple[VariantView, ...]:
    views: dict[str, VariantView] = {}
    for each in entries(found, "status", "variants"):
        name = text(each, "name")
        if is_variant(name) and len(views) < _VARIANTS:
            views[name] = VariantView(
                name=name,
                phase=text(each, "phase"),
                created=moment(each, "createdAt") or EPOCH,
                size_bytes=whole(each, "sizeBytes"),
                node=text(each, "node"),
                architecture=text(each, "architecture"),
                cpu_model=text(each, "cpuModel"),
                gpu_product=text(each, "gpuProduct"),
                image_digest=text(each, "imageDigest"),
                environment_hash=text(each, "environmentHash"),
                restores=whole(each, "restores"),
                last_restore=moment(each, "lastRestoreTime"),
            )
    return tuple(views.values())


def _images(found: JSON) -> tuple[ImageView, ...]:
    return tuple(
        ImageView(name, text(each, "digest"), _words(each, "entrypoint"), _words(each, "cmd"))
        for each in entries(found, "status", "images")
        if (name := text(each, "image"))
    )


def _words(entry: JSON, kind: str) -> tuple[str, ...]:
    listed = entry.get(kind)
    if not isinstance(listed, list):
        return ()
    return tuple(word for word in listed if isinstance(word, str))
