"""Pods of this node, Checkpoints and namespaces as watches tell them, answered from memory."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from agent.plan import checkpoint, pod
from agent.plan.checkpoint import CheckpointView
from agent.plan.pod import PodView
from chrek.kube.api import API, JSON
from chrek.kube.listwatch import ListWatch
from chrek.pods import names, refusals

Key = tuple[str, str]
"""Namespace and name."""

_CHECKPOINTS: Final = f"/apis/{names.GROUP}/{names.VERSION}"


class _Kind:
    """Observes a watch: objects by key. changed: called with each key that is another now."""

    def __init__(self, key: Callable[[JSON], Key], changed: Callable[[Key], None]) -> None:
        self.found: dict[Key, JSON] = {}
        self._key = key
        self._changed = changed

    def replaced(self, objects: Iterable[JSON]) -> None:
        before = self.found
        self.found = {self._key(one): one for one in objects}
        for key in before.keys() | self.found.keys():
            if before.get(key) != self.found.get(key):
                self._changed(key)

    def changed(self, found: JSON) -> None:
        key = self._key(found)
        self.found[key] = found
        self._changed(key)

    def deleted(self, found: JSON) -> None:
        key = self._key(found)
        self.found.pop(key, None)
        self._changed(key)


class Memory:
    """The cluster as one node's agent needs it.

    woken: called with the UID of each pod that must be looked at. swept: called with the key of
    each Checkpoint that changed, or whose namespace did. sandboxed: as in chrek.pods.refusals.
    """

    def __init__(
        self,
        woken: Callable[[str], None],
        swept: Callable[[Key], None],
        sandboxed: Sequence[str] = refusals.SANDBOXED,
    ) -> None:
        self._woken = woken
        self._swept = swept
        self._sandboxed = sandboxed
        self._by_checkpoint: dict[Key, set[str]] = defaultdict(set)
        self._views: dict[str, PodView] = {}
        self._seen: dict[Key, CheckpointView] = {}
        self._pods = _Kind(_uid, lambda key: self._pod_changed(key[1]))
        self._checkpoints = _Kind(_named, self._checkpoint_changed)
        self._namespaces = _Kind(_named, self._namespace_changed)

    def watches(self, api: API, node: str, namespace: str) -> list[ListWatch]:
        """The watches that fill this memory. namespace: "" for all of the cluster."""
        within = f"/namespaces/{namespace}" if namespace else ""
        here = {"fieldSelector": f"spec.nodeName={node}"}
        one = {"fieldSelector": f"metadata.name={namespace}"} if namespace else {}
        return [
            ListWatch(api, "/api/v1/namespaces", self._namespaces, one),
            ListWatch(api, f"{_CHECKPOINTS}{within}/{names.PLURAL}", self._checkpoints),
            ListWatch(api, f"/api/v1{within}/pods", self._pods, here),
        ]

    def pod(self, uid: str) -> PodView | None:
        """The pod as it was last told, None once it is gone."""
        found = self._pods.found.get(("", uid))
        if found is None:
            return None
        if uid not in self._views:
            self._views[uid] = pod.parse(found, self._annotations(found), self._sandboxed)
        return self._views[uid]

    def pods(self) -> list[PodView]:
        """All of this node."""
        views = (self.pod(uid) for _, uid in list(self._pods.found))
        return [view for view in views if view is not None]

    def enabled(self, namespace: str) -> bool:
        """Whether the namespace has the label now."""
        labels = self._metadata(namespace).get("labels") or {}
        return bool(labels.get(names.NAMESPACE_LABEL) == names.NAMESPACE_ENABLED)

    def ending(self, namespace: str) -> bool:
        """Whether the namespace is being deleted."""
        return "deletionTimestamp" in self._metadata(namespace)

    def checkpoint(self, namespace: str, name: str) -> CheckpointView | None:
        """A Checkpoint as it was last told."""
        key = (namespace, name)
        return self._checkpoint(key) if key in self._checkpoints.found else None

    def checkpoints(self, namespace: str | None = None) -> list[CheckpointView]:
        """All of a namespace, or of all that are watched."""
        return [
            self._checkpoint(key) for key in self._checkpoints.found if namespace in (None, key[0])
        ]

    def _checkpoint(self, key: Key) -> CheckpointView:
        """Read once: each look at each pod asks for all of its namespace."""
        if key not in self._seen:
            self._seen[key] = checkpoint.parse(self._checkpoints.found[key])
        return self._seen[key]

    def _annotations(self, found: JSON) -> dict[str, str]:
        return self._metadata(_named(found)[0]).get("annotations") or {}

    def _metadata(self, namespace: str) -> JSON:
        found: JSON = self._namespaces.found.get(("", namespace), {}).get("metadata") or {}
        return found

    def _pod_changed(self, uid: str) -> None:
        self._forget(uid)
        view = self.pod(uid)
        if view is not None and view.checkpoint_id:
            self._by_checkpoint[view.namespace, view.checkpoint_id].add(uid)
        self._woken(uid)

    def _forget(self, uid: str) -> None:
        view = self._views.pop(uid, None)
        if view is None or not view.checkpoint_id:
            return
        key = (view.namespace, view.checkpoint_id)
        self._by_checkpoint[key].discard(uid)
        if not self._by_checkpoint[key]:
            del self._by_checkpoint[key]

    def _checkpoint_changed(self, key: Key) -> None:
        self._seen.pop(key, None)
        for uid in tuple(self._by_checkpoint.get(key, ())):
            self._woken(uid)
        self._swept(key)

    def _namespace_changed(self, key: Key) -> None:
        for uid in [u for (_, u), p in self._pods.found.items() if _named(p)[0] == key[1]]:
            self._pod_changed(uid)
        for each in [found for found in self._checkpoints.found if found[0] == key[1]]:
            self._swept(each)


def _named(found: JSON) -> Key:
    metadata = found.get("metadata") or {}
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


def _uid(found: JSON) -> Key:
    return "", str((found.get("metadata") or {}).get("uid") or "")
