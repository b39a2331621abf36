"""One admission: a question -> what is known -> a review -> an answer.

Nothing that goes wrong here keeps a pod from being created: it is admitted as it was written, and
says so.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from chrek.errors import ChrekError
from chrek.logs import event
from chrek.pods import names
from webhook.admission import patch
from webhook.admission.decision import Missing, TakeOn
from webhook.admission.known import Claim, ImageConfig, Known, Options
from webhook.admission.patch import Operation
from webhook.admission.review import Reviewed, review
from webhook.server.wire import Question

_log = logging.getLogger("chrek.admission")

_ROUNDS: Final = 3
"""A claim may be missing, then an image: each is asked for once."""

Outcome = Literal["source", "placeholder", "unchanged", "again", "ignored", "failed"]


class Clusters(Protocol):
    """What watches know, and what can be asked for when they do not know it yet."""

    def covers(self, namespace: str) -> bool:
        """Whether this installation takes on pods of `namespace`."""

    def known(self, namespace: str) -> Known:
        """From memory."""

    async def claim(self, namespace: str, name: str) -> Claim | None:
        """From the API server, quickly; None if there is none or no answer."""


class Images(Protocol):
    """Where the configuration of an image can be asked for."""

    async def config(
        self, image: str, namespace: str, spec: Mapping[str, Any]
    ) -> ImageConfig | None:
        """Of `image`, pulled with the secrets of the pod of `spec`; None: asking is not allowed.
        Raises ChrekError.
        """


@dataclass(frozen=True, slots=True)
class Admitted:
    """An answer: the pod is created with `operations` done to it."""

    outcome: Outcome
    operations: Sequence[Operation] = ()
    warnings: tuple[str, ...] = ()


class Admission:
    """Answers questions."""

    def __init__(self, cluster: Clusters, images: Images, options: Options) -> None:
        self._cluster = cluster
        self._images = images
        self._options = options

    async def answer(self, question: Question) -> Admitted:
        """For any question; never raises anything but cancellation."""
        pod = question.pod
        if pod is None or not self._concerns(pod, question.namespace):
            return Admitted("ignored")
        try:
            return await self._answer(pod, question.namespace)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            _log.exception("admission failed")
            why = f"chrek: pod unchanged, starts cold: chrek's webhook failed ({error!r:.120})"
            return Admitted("failed", warnings=(why,))

    def _concerns(self, pod: Mapping[str, Any], namespace: str) -> bool:
        """Most pods of a labelled namespace are none of chrek's: they cost next to nothing."""
        metadata = pod.get("metadata")
        annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
        return (
            isinstance(annotations, dict)
            and any(key.startswith(f"{names.GROUP}/") for key in annotations)
            and self._cluster.covers(namespace)
        )

    async def _answer(self, pod: dict[str, Any], namespace: str) -> Admitted:
        known = self._cluster.known(namespace)
        reviewed = review(pod, known, self._options)
        notes: tuple[str, ...] = ()
        for _ in range(_ROUNDS):
            if reviewed.missing is None:
                break
            found, note = await self._asked(known, reviewed.missing, pod)
            notes += note
            if found is known:
                break
            known = found
            reviewed = review(pod, known, self._options)
        admitted = Admitted(
            _outcome(reviewed), patch.between(pod, reviewed.pod), (*reviewed.warnings, *notes)
        )
        _tell(pod, namespace, reviewed, admitted)
        return admitted

    async def _asked(
        self, known: Known, missing: Missing, pod: Mapping[str, Any]
    ) -> tuple[Known, tuple[str, ...]]:
        """`known` and the missing thing, or `known` itself and why the thing is not known."""
        if missing.what == "claim":
            claim = await self._cluster.claim(known.namespace, missing.name)
            if claim is None:
                return known, ()
            return dataclasses.replace(known, claims={**known.claims, claim.name: claim}), ()
        try:
            config = await self._images.config(missing.name, known.namespace, pod["spec"])
        except ChrekError as error:
            return known, (f"chrek: {error}",)
        if config is None:
            return known, ()
        return dataclasses.replace(known, images={**known.images, missing.name: config}), ()


def _outcome(reviewed: Reviewed) -> Outcome:
    if reviewed.decision is None:
        return "again"
    return reviewed.decision.role if isinstance(reviewed.decision, TakeOn) else "unchanged"


def _level(admitted: Admitted) -> int:
    """A pod that is taken on says so itself (its label, its annotations), and a line for each would
    be a quarter of what an admission costs."""
    return logging.INFO if admitted.warnings else logging.DEBUG


def _tell(pod: Mapping[str, Any], namespace: str, reviewed: Reviewed, admitted: Admitted) -> None:
    level = _level(admitted)
    if not _log.isEnabledFor(level):
        return
    metadata = pod["metadata"]
    decision = reviewed.decision
    fields: dict[str, object] = {
        "namespace": namespace,
        "pod": metadata.get("name") or metadata.get("generateName"),
        "outcome": admitted.outcome,
    }
    if isinstance(decision, TakeOn):
        fields |= {"checkpoint": decision.checkpoint_id, "timeout": decision.timeout_seconds}
    if admitted.warnings:
        fields["why"] = " | ".join(admitted.warnings)
    event(_log, level, "admitted", **fields)


class NoImages:
    """Where no registry may be asked."""

    async def config(self, _image: str, _namespace: str, _spec: Mapping[str, Any]) -> None:
        return None
