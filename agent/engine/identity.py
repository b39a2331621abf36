"""Ids and variants: what must be equal for a checkpoint to fit, as 16 hex characters."""

import hashlib

import msgspec

from chrek.ids import CheckpointID, Variant
from chrek.manifest import Facts, GPUFacts, PodFacts
from chrek.runspec import RunSpec


def _hash(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:16]


def of_spec(spec: RunSpec) -> CheckpointID:
    """The id of what one machine runs; the network does not matter, nor do limits."""
    gpus = {"gpus": spec.gpus} if spec.gpus else {}
    return CheckpointID(
        _hash(
            gpus
            | {
                "argv": spec.argv,
                "env": spec.env,
                "cwd": spec.cwd,
                "user": [spec.uid, spec.gid],
                "volumes": sorted(volume.target for volume in spec.volumes),
                "capabilities": sorted(spec.drop_capabilities),
                "read_only": spec.read_only,
            }
        )
    )


def variant(facts: Facts, pod: PodFacts, gpu: GPUFacts | None = None) -> Variant:
    """What only a node knows."""
    counted: dict[str, object] = {
        "architecture": facts.architecture,
        "cpu_features": facts.cpu_features,
    }
    if pod != PodFacts():
        counted["image_digest"] = pod.image_digest
        counted["environment"] = pod.environment_hash
    if gpu is not None:
        counted["gpu"] = [gpu.driver, sorted(device.product for device in gpu.devices)]
    return Variant(_hash(counted))
