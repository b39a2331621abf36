"""A pod of this node as the API server shows it -> what deciding needs of it.

A pod is chrek's only if admission took it on and its command is still wrapped
(chrek.pods.written). A pod with the label of chrek's own never is. An annotated pod that was left
unchanged because what its image runs was not known is one to learn from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, cast, get_args

from agent.plan import container as containers
from agent.plan.container import ContainerView
from agent.plan.reading import EPOCH, JSON, entries, member, moment, strings, text
from agent.plan.workload import workload
from chrek.ids import is_label, is_variant
from chrek.pods import names, refusals
from chrek.pods.choosing import chosen
from chrek.pods.identity import identity
from chrek.pods.wish import Wish, WishError, read, shown, unknown
from chrek.pods.written import Record, record

Role = Literal["source", "placeholder"]

_SECONDS_WORD: Final = 3
_LONGEST_WORD: Final = 9


@dataclass(frozen=True, slots=True)
class PodView:
    """annotated: a checkpoint was asked for, be it by a word that is misspelt.
    wrapped: it is chrek's. learn: it is not, and what its image runs should be recorded.
    container: the chosen one, of a pod that is wrapped or to learn from; else None.
    checkpoint_id, identity: what admission recorded; of a pod to learn from, what it would.
    problem: a sentence, why `wish` is None though one was written, why there is no id, or why
    admission did not take it on, where that can be told from the pod.
    restored_message: of the condition chrek.io/Restored, as an agent left it.
    claim: the one that it mounts, else the one that it names. command_of_image: what runs is the
    image's own command. checkpoint_image: chrek-init is the image's. in_init: the claim is mounted
    in chrek's init container. first_word_seconds: so long chrek-init waits for a word. created:
    the epoch where that is not said.
    """

    uid: str
    namespace: str
    name: str
    node: str
    phase: str
    deleting: bool
    restart_policy: str
    created: datetime
    version: str
    ready: bool
    ready_at: datetime | None
    workload: str
    containers: tuple[ContainerView, ...]
    annotated: bool = False
    wish: Wish | None = None
    problem: str = ""
    restored_message: str = ""
    wrapped: bool = False
    learn: bool = False
    container: str | None = None
    role: Role | None = None
    checkpoint_id: str | None = None
    identity: str = ""
    claim: str = ""
    first_word_seconds: int = 0
    command_of_image: bool = False
    checkpoint_image: bool = False
    in_init: bool = False

    @property
    def chosen(self) -> ContainerView | None:
        """The container that is meant."""
        return next((each for each in self.containers if each.name == self.container), None)

    @property
    def ended(self) -> bool:
        """Whether none of its containers will ever run again."""
        return self.phase in ("Succeeded", "Failed")


def parse(
    pod: JSON,
    namespace_annotations: Mapping[str, str],
    sandboxed: Sequence[str] = refusals.SANDBOXED,
) -> PodView:
    """The view of `pod`, whatever its form. namespace_annotations: defaults of its namespace.
    sandboxed: as in chrek.pods.refusals; the webhook of this installation has the same."""
    annotations = strings(pod, "metadata", "annotations")
    if names.COMPONENT_LABEL in strings(pod, "metadata", "labels"):
        annotations = {}  # no admission looked at it: what it says of itself counts for nothing
    listed = [spec for spec in entries(pod, "spec", "containers") if text(spec, "name")]
    kept = record({"metadata": {"annotations": annotations}, "spec": {"containers": listed}})
    wish, problem = _wish(annotations, namespace_annotations)
    ours: dict[str, Any] = {}
    if kept is not None:
        ours = _taken_on(pod, annotations, listed, kept)
    elif wish is not None:
        ours = _untouched(pod, annotations, listed, wish, sandboxed)
    ready_at, is_ready = _readiness(pod)
    misspelt = unknown(annotations) if wish is None and kept is None else []
    own = {
        "annotated": names.CHECKPOINT in annotations or bool(misspelt),
        "wish": wish,
        "claim": wish.claim if wish else "",
    }
    return PodView(
        uid=text(pod, "metadata", "uid"),
        namespace=text(pod, "metadata", "namespace"),
        name=text(pod, "metadata", "name"),
        node=text(pod, "spec", "nodeName"),
        phase=text(pod, "status", "phase"),
        deleting=bool(text(pod, "metadata", "deletionTimestamp")),
        restart_policy=text(pod, "spec", "restartPolicy") or "Always",
        created=moment(pod, "metadata", "creationTimestamp") or EPOCH,
        version=text(pod, "metadata", "resourceVersion"),
        ready=is_ready,
        ready_at=ready_at,
        workload=workload(pod),
        containers=_containers(pod, listed, kept),
        restored_message=_restored_message(pod),
        **{**own, **ours, "problem": problem or ours.get("problem", "") or "; ".join(misspelt)},
    )


def _wish(annotations: Mapping[str, str], namespace: Mapping[str, str]) -> tuple[Wish | None, str]:
    try:
        return read(annotations, namespace), ""
    except WishError as error:
        return None, error.message


def _taken_on(
    pod: JSON, annotations: Mapping[str, str], listed: list[JSON], kept: Record
) -> dict[str, Any]:
    command = next(spec for spec in listed if spec["name"] == kept.container)["command"]
    found_id, found_identity = annotations[names.CHECKPOINT_ID], annotations.get(names.IDENTITY, "")
    role = strings(pod, "metadata", "labels").get(names.ROLE_LABEL)
    seconds = command[_SECONDS_WORD]
    is_number = isinstance(seconds, str) and seconds.isascii() and seconds.isdigit()
    ours: dict[str, Any] = {
        "wrapped": True,
        "container": kept.container,
        "role": cast(Role, role) if role in get_args(Role) else None,
        "checkpoint_id": found_id,
        "identity": found_identity if is_variant(found_identity) else "",
        "first_word_seconds": int(seconds[:_LONGEST_WORD]) if is_number else 0,
        "command_of_image": "command" in kept.members,
        "checkpoint_image": command[0] == names.IMAGE_INIT,
        "in_init": any(
            text(each, "name") == names.INIT_CONTAINER
            for each in entries(pod, "spec", "initContainers")
        ),
    }
    if claim := _mounted_claim(pod):
        ours["claim"] = claim
    if not is_label(found_id):  # it would become part of a path
        sentence = f"{names.CHECKPOINT_ID} is {shown(found_id)}, not a DNS label"
        ours |= {"checkpoint_id": None, "problem": sentence}
    return ours


def _mounted_claim(pod: JSON) -> str:
    for volume in entries(pod, "spec", "volumes"):
        if text(volume, "name") == names.CLAIM_VOLUME:
            return text(volume, "persistentVolumeClaim", "claimName", most=253)
    return ""


def _untouched(
    pod: JSON,
    annotations: Mapping[str, str],
    listed: list[JSON],
    wish: Wish,
    sandboxed: Sequence[str],
) -> dict[str, Any]:
    """Of an annotated pod that is not chrek's: whether its image's command is to be learned."""
    try:
        default = annotations.get(names.DEFAULT_CONTAINER)
        spec = listed[chosen([each["name"] for each in listed], wish, default)]
        command = spec.get("command")
        argv = [*command, *(spec.get("args") or [])] if command else None
        if reasons := refusals.every(pod, spec, wish, sandboxed, argv):
            return {"problem": "; ".join(reasons)}
        image = text(spec, "image")
        # A checkpoint image would run in its place, and nothing is to be learned of that here.
        if command or not image or wish.checkpoint_image not in (None, image):
            return {}
        found = identity(pod, spec, image=image, ignore_env=wish.ignore_env)
    except WishError as error:
        return {"problem": error.message}
    except (AttributeError, TypeError, ValueError):  # no API server lets such a pod in
        return {"problem": "the pod is of a form that chrek does not know"}
    return {
        "learn": True,
        "container": spec["name"],
        "checkpoint_id": found if wish.checkpoint == names.AUTO else wish.checkpoint,
        "identity": found,
    }


def _restored_message(pod: JSON) -> str:
    for condition in entries(pod, "status", "conditions"):
        if text(condition, "type") == names.RESTORED:
            return text(condition, "message")
    return ""


def _readiness(pod: JSON) -> tuple[datetime | None, bool]:
    for condition in entries(pod, "status", "conditions"):
        if text(condition, "type") == "ContainersReady" and text(condition, "status") == "True":
            return moment(condition, "lastTransitionTime"), True
    return None, False


def _containers(pod: JSON, listed: list[JSON], kept: Record | None) -> tuple[ContainerView, ...]:
    statuses = {text(each, "name"): each for each in entries(pod, "status", "containerStatuses")}
    links = member(pod, "spec", "enableServiceLinks") is not False
    return tuple(
        containers.parse(
            spec,
            statuses.get(spec["name"], {}),
            record=kept if kept and kept.container == spec["name"] else None,
            service_links=links,
        )
        for spec in listed
    )
