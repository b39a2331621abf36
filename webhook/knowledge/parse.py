"""Objects of the API -> what admission needs of them.

Pure. What the agent writes into a Checkpoint is trusted no further than its form.
"""

from typing import Any

from chrek.kube.api import JSON
from webhook.admission.known import Checkpoint, Claim, ImageConfig


def claim(found: JSON) -> Claim:
    """A PersistentVolumeClaim."""
    spec, status = found.get("spec") or {}, found.get("status") or {}
    return Claim(
        name=found["metadata"]["name"],
        phase=str(status.get("phase") or ""),
        access_modes=frozenset(spec.get("accessModes") or []),
        terminating="deletionTimestamp" in found["metadata"],
        storage_class=str(spec.get("storageClassName") or ""),
        block=spec.get("volumeMode") == "Block",
    )


def checkpoint(found: JSON) -> Checkpoint:
    """A Checkpoint. Usable: not being deleted, and Ready or with a variant that is."""
    status = found.get("status") or {}
    phases = [status.get("phase"), *(v.get("phase") for v in status.get("variants") or [])]
    seconds = status.get("coldStartSeconds")
    return Checkpoint(
        name=found["metadata"]["name"],
        usable="Ready" in phases and "deletionTimestamp" not in found["metadata"],
        identity=str(status.get("identity") or ""),
        cold_start_seconds=float(seconds) if isinstance(seconds, int | float) else None,
    )


def images(found: JSON) -> dict[str, ImageConfig]:
    """What a Checkpoint says of images: image as written -> its configuration."""
    return {
        str(entry.get("image")): ImageConfig(_words(entry, "entrypoint"), _words(entry, "cmd"))
        for entry in (found.get("status") or {}).get("images") or []
    }


def annotations(found: JSON) -> dict[str, str]:
    """Of a Namespace."""
    return found["metadata"].get("annotations") or {}


def late_binding(found: JSON) -> str | None:
    """The name of a StorageClass that binds a claim once a pod needs it."""
    late = found.get("volumeBindingMode") == "WaitForFirstConsumer"
    return str(found["metadata"]["name"]) if late else None


def _words(entry: dict[str, Any], member: str) -> tuple[str, ...]:
    return tuple(str(word) for word in entry.get(member) or [])
