"""Events on pods, in the form that kubelet gives them: `kubectl describe pod` shows them."""

import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from agent.act.report.wording import bounded, stamp
from agent.plan.pod import PodView
from chrek.kube.api import API, JSON
from chrek.kube.errors import AlreadyExistsError, APIError

Kind = Literal["Normal", "Warning"]

COMPONENT: Final = "chrek-agent"
MESSAGE_BYTES: Final = 1024
_REASON_BYTES: Final = 128
_NAME_CHARACTERS: Final = 253
_SAME: Final = timedelta(minutes=10)
"""An equal event within so long after the last is that one, counted up."""
_REMEMBERED: Final = 1000
_NOT_FOUND: Final = 404


@dataclass(slots=True)
class Said:
    """An event of one pod. name: that of the object, so that writing it twice makes one."""

    pod: PodView
    kind: Kind
    reason: str
    message: str
    first: datetime
    last: datetime
    name: str
    count: int = 1

    @property
    def key(self) -> tuple[str, ...]:
        """What equal events have in common."""
        return (self.pod.uid, self.kind, self.reason, self.message)


def say(pod: PodView, kind: Kind, reason: str, message: str, now: datetime) -> Said:
    """An event that happened now."""
    ending = f".{time.time_ns():x}"
    # The name of a pod may be as long as that of an event.
    name = pod.name[: _NAME_CHARACTERS - len(ending)].rstrip("-.") + ending
    reason, message = bounded(reason, _REASON_BYTES), bounded(message, MESSAGE_BYTES)
    return Said(pod, kind, reason, message, now, now, name)


class Events:
    """Writes them."""

    def __init__(self, api: API, node: str) -> None:
        self._api = api
        self._node = node
        self._written: OrderedDict[tuple[str, ...], Said] = OrderedDict()

    async def write(self, said: Said) -> None:
        """Create the Event, or count one up; may be called again after an APIError, and raises
        no other."""
        known = self._written.pop(said.key, None)
        if known and said.last - known.last <= _SAME:
            counted = {"count": known.count + said.count, "lastTimestamp": stamp(said.last)}
            try:
                await self._api.patch(f"{_path(said.pod)}/{known.name}", counted)
            except APIError as error:
                if error.status != _NOT_FOUND:
                    self._written[said.key] = known
                    raise
            else:
                known.count += said.count
                known.last = said.last
                self._remember(known)
                return
        with suppress(AlreadyExistsError):  # of an attempt whose answer alone was lost
            await self._api.create(_path(said.pod), _body(said, self._node))
        self._remember(said)

    def _remember(self, said: Said) -> None:
        self._written[said.key] = said
        while len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)


def _path(pod: PodView) -> str:
    return f"/api/v1/namespaces/{pod.namespace}/events"


def _body(said: Said, node: str) -> JSON:
    pod = said.pod
    about: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": pod.namespace,
        "name": pod.name,
        "uid": pod.uid,
        "resourceVersion": pod.version,
    }
    if pod.container:
        about["fieldPath"] = f"spec.containers{{{pod.container}}}"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": said.name, "namespace": pod.namespace},
        "involvedObject": about,
        "reason": said.reason,
        "message": said.message,
        "type": said.kind,
        "source": {"component": COMPONENT, "host": node},
        "firstTimestamp": stamp(said.first),
        "lastTimestamp": stamp(said.last),
        "count": said.count,
        "reportingComponent": COMPONENT,
        "reportingInstance": node,
    }
