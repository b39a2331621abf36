"""The cluster as admissions see it: watches fill the store, a miss may be asked for once."""

import asyncio
import logging
from typing import Final

from chrek.kube.api import API
from chrek.kube.errors import APIError
from chrek.kube.listwatch import ListWatch, Observer
from chrek.logs import event
from chrek.pods import names
from webhook.admission.known import Claim, Known
from webhook.knowledge import parse
from webhook.knowledge.store import Store

_log = logging.getLogger("chrek.knowledge")

_ASK_SECONDS: Final = 1.0
"""An admission has five seconds in all, and a pod is waiting."""
_NOT_FOUND: Final = 404


class Cluster:
    """namespace: the one whose pods are taken on; "" for every labelled one."""

    def __init__(self, api: API, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._store = Store()
        self.watches = self._made()

    def _made(self) -> list[ListWatch]:
        within = f"/namespaces/{self._namespace}" if self._namespace else ""
        group = f"/apis/{names.GROUP}/{names.VERSION}"
        selector = (
            {"fieldSelector": f"metadata.name={self._namespace}"}
            if self._namespace
            else {"labelSelector": f"{names.NAMESPACE_LABEL}={names.NAMESPACE_ENABLED}"}
        )
        store = self._store
        watched: list[tuple[str, Observer, dict[str, str]]] = [
            (f"{group}{within}/{names.PLURAL}", store.checkpoint_objects, {}),
            (f"/api/v1{within}/persistentvolumeclaims", store.claims, {}),
            ("/api/v1/namespaces", store.namespaces, selector),
            ("/apis/storage.k8s.io/v1/storageclasses", store.classes, {}),
        ]
        return [ListWatch(self._api, *one) for one in watched]

    def problems(self) -> list[str]:
        """Why answers would be wrong yet: what was never listed."""
        return [
            f"{watch.path} is not listed yet" + (f" ({problem})" if problem else "")
            for watch in self.watches
            if not watch.health.listed.is_set()
            for problem in (watch.health.problem,)
        ]

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for watch in self.watches:
                group.create_task(watch.run())

    def covers(self, namespace: str) -> bool:
        """Kubernetes before 1.21 has no label to select one namespace by, so it may ask for any."""
        return namespace == self._namespace if self._namespace else bool(namespace)

    def known(self, namespace: str) -> Known:
        return self._store.known(namespace)

    async def claim(self, namespace: str, name: str) -> Claim | None:
        """A claim made a moment ago, in the same `kubectl apply` say, has not been seen yet."""
        path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"
        try:
            return parse.claim(await self._api.get(path, {}, timeout_seconds=_ASK_SECONDS))
        except APIError as error:
            if error.status != _NOT_FOUND:
                event(_log, logging.WARNING, "claim not known", path=path, problem=error.message)
            return None
