"""One pod by its second and later ways too: the pod as it comes -> the pod to admit.

Pure. The API server asks again when another webhook has changed the pod after us, and people
create copies of live pods. A pod that was taken on, and is still the one that it was, stays so;
any other is decided from what its user wrote.
"""

from dataclasses import dataclass
from typing import Final

from chrek.pods import names
from chrek.pods.written import Pod, as_written, record
from webhook.admission.change import taken_on
from webhook.admission.decision import Decision, Missing, TakeOn, Untouched, decide, unchanged
from webhook.admission.known import Known, Options

_MOST_ANNOTATION_BYTES: Final = 256 << 10
"""With more, the API server rejects the pod."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """pod: to be admitted; the very object that came where nothing changes. decision: None for
    a pod that was taken on before and stays as it is.
    """

    pod: Pod
    decision: Decision | None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that kubectl shows."""
        return self.decision.warnings if self.decision else ()

    @property
    def missing(self) -> Missing | None:
        """What would decide otherwise if it were known."""
        return self.decision.missing if isinstance(self.decision, Untouched) else None


def review(pod: Pod, known: Known, options: Options) -> Reviewed:
    """What to admit for `pod`."""
    kept = record(pod)
    written = pod if kept is None else as_written(pod, kept)
    decision = decide(written, known, options, kept.container if kept else None)
    if isinstance(decision, Untouched):
        return Reviewed(written, decision)
    if kept is not None and _same(pod, decision):
        return Reviewed(pod, None)
    changed = taken_on(written, decision, options)
    if _annotation_bytes(changed) > _MOST_ANNOTATION_BYTES:
        return Reviewed(written, unchanged(["its annotations leave no room for chrek's"]))
    return Reviewed(changed, decision)


def _annotation_bytes(pod: Pod) -> int:
    annotations: dict[str, str] = pod["metadata"]["annotations"]
    return sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())


def _same(pod: Pod, decision: TakeOn) -> bool:
    """Whether what was decided before holds: not moved by a checkpoint that came in between."""
    annotations: dict[str, str] = pod["metadata"]["annotations"]
    claims = [
        (volume.get("persistentVolumeClaim") or {}).get("claimName")
        for volume in pod["spec"].get("volumes") or []
        if volume.get("name") == names.CLAIM_VOLUME
    ]
    before = annotations.get(names.CHECKPOINT_ID), annotations.get(names.IDENTITY), claims
    return before == (decision.checkpoint_id, decision.identity, [decision.claim])
