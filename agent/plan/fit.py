"""Whether a stored variant fits here, as far as a Checkpoint's status tells.

The rest (CPU features, mounts, user, GPUs) is compared with the manifest, by the engine.
"""

from dataclasses import dataclass

from agent.plan.checkpoint import CheckpointView, VariantView


@dataclass(frozen=True, slots=True)
class Here:
    """What only this node knows of a container. Empty: not known (environment_hash: there is
    none).
    """

    architecture: str
    image_digest: str
    environment_hash: str


def differences(variant: VariantView, here: Here) -> list[str]:
    """Why `variant` does not fit, a few words each; none if it does."""
    found = []
    if _differs(variant.architecture, here.architecture):
        found.append(f"architecture (stored {variant.architecture}, here {here.architecture})")
    stored, running = digest(variant.image_digest), digest(here.image_digest)
    if _differs(stored, running):
        found.append(f"image digest (stored {stored}, here {running})")
    if variant.environment_hash != here.environment_hash:
        found.append("environment (a ConfigMap or Secret it comes from has changed)")
    return found


def fitting(checkpoint: CheckpointView, here: Here) -> list[VariantView]:
    """Its variants that fit, damaged ones too, newest first."""
    found = [each for each in checkpoint.variants if not differences(each, here)]
    return sorted(found, key=lambda each: (each.created, each.name), reverse=True)


def digest(reference: str) -> str:
    """The digest alone: runtimes give `name@sha256:...` or only that, and no two the same name."""
    return reference.rpartition("@")[2]


def _differs(stored: str, here: str) -> bool:
    return bool(stored and here) and stored != here
