"""Ids and variants: what must be equal for a checkpoint to fit, as 16 hex characters."""

import hashlib

import msgspec

from chrek.ids import CheckpointID, Variant
from chrek.manifest import Facts
from chrek.runspec import RunSpec


def _hash(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:16]


def of_spec(spec: RunSpec) -> CheckpointID:
    """The id of what one machine runs; the network does not matter, nor do limits."""
    return CheckpointID(
        _hash(
            {
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


def variant(facts: Facts) -> Variant:
    """What only a node knows."""
    return Variant(_hash({"architecture": facts.architecture, "cpu_features": facts.cpu_features}))
