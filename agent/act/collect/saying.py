"""What `kubectl describe checkpoint` shows of one that is being removed."""

import logging
import time
from collections import OrderedDict
from typing import Final

from agent.act.node import now
from agent.act.report.events import COMPONENT, MESSAGE_BYTES, Kind
from agent.act.report.wording import bounded, stamp
from agent.plan.checkpoint import CheckpointView
from chrek.kube.api import API
from chrek.kube.errors import APIError
from chrek.logs import event
from chrek.pods import names

_log = logging.getLogger("chrek.collect")
_REMEMBERED: Final = 1000


class Sayings:
    """Each reason once for each Checkpoint; that nobody hears it ends nothing."""

    def __init__(self, api: API, node: str) -> None:
        self._api = api
        self._node = node
        self._said: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def say(self, checkpoint: CheckpointView, kind: Kind, reason: str, message: str) -> None:
        """Log it, and write an Event."""
        key = (checkpoint.uid, reason)
        if key in self._said:
            return
        self._said[key] = None
        if len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)
        shown = f"{checkpoint.namespace}/{checkpoint.name}"
        level = logging.INFO if kind == "Normal" else logging.WARNING
        event(_log, level, "event", checkpoint=shown, reason=reason, message=message)
        at = stamp(now())
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{checkpoint.name[:200].rstrip('-.')}.{time.time_ns():x}",
                "namespace": checkpoint.namespace,
            },
            "involvedObject": {
                "apiVersion": f"{names.GROUP}/{names.VERSION}",
                "kind": "Checkpoint",
                "namespace": checkpoint.namespace,
                "name": checkpoint.name,
                "uid": checkpoint.uid,
                "resourceVersion": checkpoint.version,
            },
            "reason": reason,
            "message": bounded(message, MESSAGE_BYTES),
            "type": kind,
            "source": {"component": COMPONENT, "host": self._node},
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
            "reportingComponent": COMPONENT,
            "reportingInstance": self._node,
        }
        try:
            await self._api.create(f"/api/v1/namespaces/{checkpoint.namespace}/events", body)
        except APIError as error:  # in a namespace that ends, always
            event(_log, logging.DEBUG, "event lost", checkpoint=shown, why=error)
