"""What to do with a pod: leave it as it is, or take it on as a source or a placeholder.

Pure: a pod and what is known in, a decision out. No decision keeps a pod from being created.
"""

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

from chrek.pods import names, refusals
from chrek.pods.choosing import chosen
from chrek.pods.identity import identity
from chrek.pods.wish import Wish, WishError, read, shown, unknown
from chrek.pods.written import Pod
from webhook.admission import claims
from webhook.admission.known import Checkpoint, ImageConfig, Known, Options

NO_CHECKPOINT_SECONDS: Final = 2
LONGEST_DEFAULT_SECONDS: Final = 300

Role = Literal["source", "placeholder"]


@dataclass(frozen=True, slots=True)
class Missing:
    """What is not known, and would decide otherwise if it were."""

    what: Literal["claim", "image"]
    name: str


@dataclass(frozen=True, slots=True)
class Untouched:
    """The pod stays as it was written."""

    warnings: tuple[str, ...] = ()
    missing: Missing | None = None


@dataclass(frozen=True, slots=True)
class TakeOn:
    """The pod runs under chrek-init. container: the chosen one's place in spec.containers.
    image: of the chosen container when it is not the written one. config: where the command is
    the image's own. timeout_seconds: so long chrek-init waits for the agent.
    """

    role: Role
    checkpoint_id: str
    identity: str
    container: int
    claim: str
    timeout_seconds: int
    image: str | None = None
    config: ImageConfig | None = None
    warnings: tuple[str, ...] = ()


Decision = Untouched | TakeOn


def decide(pod: Pod, known: Known, options: Options, before: str | None = None) -> Decision:
    """For `pod` as its user wrote it. before: the container that was chosen an admission ago; a
    sidecar that was put in front of it since does not take its place.
    """
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    try:
        wish = read(annotations, known.annotations)
        if wish is None:  # nothing was asked for, unless a word is misspelt
            return Untouched(_told(unknown(annotations)))
        listed = [container.get("name") for container in pod["spec"].get("containers") or []]
        index = chosen(listed, wish, annotations.get(names.DEFAULT_CONTAINER), before)
    except WishError as error:
        return unchanged([error.message])
    container = pod["spec"]["containers"][index]
    image = wish.checkpoint_image or str(container.get("image") or "")
    config = None if container.get("command") else known.images.get(image)
    return (
        _refused(pod, container, wish, options, config)
        or _lacking(container, wish, known, options, image)
        or _taken_on(pod, index, wish, known, image=image, config=config)
    )


def _refused(
    pod: Pod, container: dict[str, Any], wish: Wish, options: Options, config: ImageConfig | None
) -> Untouched | None:
    is_known = container.get("command") or config is not None
    argv = _argv(container, config) if is_known else None
    reasons = refusals.every(pod, container, wish, options.sandboxed, argv)
    return unchanged(reasons) if reasons else None


def _lacking(
    container: dict[str, Any], wish: Wish, known: Known, options: Options, image: str
) -> Untouched | None:
    if no_claim := [*claims.refusals(wish, known, options)]:
        missing = None if wish.claim in known.claims else Missing("claim", wish.claim)
        return unchanged(no_claim, missing)
    if not container.get("command") and image not in known.images:
        return unchanged([_not_known(container, image)], Missing("image", image))
    return None


def _taken_on(
    pod: Pod, index: int, wish: Wish, known: Known, *, image: str, config: ImageConfig | None
) -> Decision:
    container = pod["spec"]["containers"][index]
    found = identity(pod, container, image=image, ignore_env=wish.ignore_env)
    checkpoint_id = found if wish.checkpoint == names.AUTO else wish.checkpoint
    checkpoint = known.checkpoints.get(checkpoint_id)
    if checkpoint and checkpoint.identity not in ("", found):
        return unchanged([_another(checkpoint)])
    warnings = unknown((pod.get("metadata") or {}).get("annotations") or {})
    usable = checkpoint is not None and checkpoint.usable
    if not usable:
        warnings += _never_warm(container, wish)
    return TakeOn(
        role="placeholder" if usable else "source",
        checkpoint_id=checkpoint_id,
        identity=found,
        container=index,
        claim=wish.claim,
        timeout_seconds=_timeout(wish, checkpoint) if usable else NO_CHECKPOINT_SECONDS,
        image=wish.checkpoint_image,
        config=config,
        warnings=_told(warnings),
    )


def _told(sentences: list[str]) -> tuple[str, ...]:
    return tuple(f"chrek: {sentence}" for sentence in sentences)


def unchanged(reasons: list[str], missing: Missing | None = None) -> Untouched:
    """For these reasons, one sentence each."""
    sentences = tuple(f"chrek: pod unchanged, starts cold: {why}" for why in reasons)
    return Untouched(sentences, missing)


def _argv(container: dict[str, Any], config: ImageConfig | None) -> list[str]:
    """All that the container runs, as Kubernetes puts it together from pod and image."""
    if container.get("command") or config is None:
        return [*(container.get("command") or []), *(container.get("args") or [])]
    return [*config.entrypoint, *(container.get("args") or config.cmd)]


def _not_known(container: dict[str, Any], image: str) -> str:
    return (
        f"container {container['name']} has no command, and what image {shown(image)} runs is "
        "not known: write the command in the pod template"
    )


def _another(checkpoint: Checkpoint) -> str:
    return (
        f"checkpoint {checkpoint.name} was made from a pod with another image, command, "
        f"environment, mounts, GPUs or user: choose another name, or delete it to make it anew "
        f"(kubectl delete checkpoint {checkpoint.name})"
    )


def _never_warm(container: dict[str, Any], wish: Wish) -> list[str]:
    if wish.checkpoint_after is not None or any(
        container.get(kind) for kind in ("startupProbe", "readinessProbe")
    ):
        return []
    return [
        f"container {container['name']} has no startup or readiness probe, so it will not be "
        f"checkpointed: add one, or say when it is warm with {names.CHECKPOINT_AFTER}"
    ]


def _timeout(wish: Wish, checkpoint: Checkpoint | None) -> int:
    if wish.restore_timeout_seconds is not None:
        return max(wish.restore_timeout_seconds, NO_CHECKPOINT_SECONDS)
    recorded = checkpoint.cold_start_seconds if checkpoint else None
    if recorded is None:
        return LONGEST_DEFAULT_SECONDS
    return min(max(math.ceil(recorded), NO_CHECKPOINT_SECONDS), LONGEST_DEFAULT_SECONDS)
