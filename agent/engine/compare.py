"""Compare: does a checkpoint fit this machine and this placeholder? Asked before any work."""

import os

from agent.files import roots
from agent.kernel import cpu, mounts, process
from agent.runtime.target import Target
from chrek.errors import ArchitectureError, CPUFeaturesError, MountsError, UserError
from chrek.manifest import Facts, Manifest


def compare(manifest: Manifest, target: Target) -> None:
    """Raise an IncompatibleError that names what differs."""
    facts = manifest.facts
    _machine(facts)
    _user(facts, target)
    _mounts(facts, target)


def _machine(facts: Facts) -> None:
    here = cpu.architecture()
    if facts.architecture != here:
        raise ArchitectureError(
            f"the checkpoint is of {facts.architecture}, this machine is {here}"
        )
    missing = sorted(set(facts.cpu_features) - set(cpu.features()))
    if missing:
        raise CPUFeaturesError(
            f"this processor lacks what the source's had: {', '.join(missing[:8])}",
            hint=f"It was captured on {facts.cpu_model}; capture a variant on this kind",
        )


def _user(facts: Facts, target: Target) -> None:
    top = process.read(target.init)
    if (top.uid, top.gid) != (facts.uid, facts.gid):
        raise UserError(
            f"the source ran as {facts.uid}:{facts.gid}, the placeholder as {top.uid}:{top.gid}"
        )


def _mounts(facts: Facts, target: Target) -> None:
    """Volumes may be of another kind (a claim on another driver); but they must be there."""
    here = {mount.point for mount in mounts.of(target.init)}
    needed = {mount.point for mount in facts.mounts if not _runtime(mount.point)}
    missing = sorted(needed - here)
    if missing:
        raise MountsError(
            f"the placeholder does not have the source's mounts {', '.join(missing[:8])}"
        )
    _file_roots(facts, target)


def _file_roots(facts: Facts, target: Target) -> None:
    """The source's files go into what chrek would copy too, never into a user's own volume."""
    needed = {root.point for root in facts.file_roots if root.kind != "overlay"}
    others = sorted(needed - roots.points(target.init)) if needed else []
    if others:
        raise MountsError(
            f"what the source had in an emptyDir or a tmpfs is another volume here: "
            f"{', '.join(others[:8])}"
        )


def _runtime(point: str) -> bool:
    """Runtimes mask and protect paths there as their version sees fit."""
    return any(point == p or point.startswith(p + os.sep) for p in ("/proc", "/sys"))
