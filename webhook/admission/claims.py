"""Why checkpoints cannot be kept in a claim, one sentence each. Pure."""

from collections.abc import Iterator

from chrek.pods import names
from chrek.pods.wish import Wish
from webhook.admission.known import Claim, Known, Options


def refusals(wish: Wish, known: Known, options: Options) -> Iterator[str]:
    """Why checkpoints cannot be kept in the claim: a pod that mounts it would hang."""
    claim = known.claims.get(wish.claim)
    if claim is None:
        yield (
            f"there is no PersistentVolumeClaim {wish.claim} in namespace {known.namespace}: "
            f"create it, or name another with {names.CLAIM}"
        )
    else:
        yield from _of_found(claim, known, options)


def _of_found(claim: Claim, known: Known, options: Options) -> Iterator[str]:
    what = f"PersistentVolumeClaim {claim.name}"
    if claim.terminating:
        yield f"{what} is being deleted"
    waits_for_pod = claim.phase == "Pending" and claim.storage_class in known.late_binding
    if claim.phase != "Bound" and not waits_for_pod:
        yield f"{what} is {claim.phase or 'not bound'}: kubectl describe pvc {claim.name}"
    if claim.block:
        yield f"{what} is a block device (volumeMode Block), not a file system"
    if "ReadWriteOncePod" in claim.access_modes:
        yield f"{what} is ReadWriteOncePod: a second pod would hang"
    elif "ReadWriteMany" not in claim.access_modes and not (
        "ReadWriteOnce" in claim.access_modes and options.allow_read_write_once
    ):
        modes = ", ".join(sorted(claim.access_modes)) or "of no access mode"
        yield f"{what} is {modes}, not ReadWriteMany: pods on other nodes would hang"
