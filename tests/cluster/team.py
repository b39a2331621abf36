"""A team that uses chrek: its namespace with a claim, its pods, and what a person reads of them."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .client import Cluster, Done
from .conftest import make_namespace, remove_namespace
from .installation import Installation, installed
from .node import Node

T = TypeVar("T")
CONDITION = "chrek.io/Restored"
CHECKPOINT_ID = "chrek.io/checkpoint-id"


@dataclass(frozen=True)
class Team:
    """claim: the directory of its volume, here and on the node."""

    cluster: Cluster
    chrek: Installation
    namespace: str
    claim: Path

    def kubectl(self, *words: str, code: int | None = 0) -> Done:
        return self.cluster.kubectl("-n", self.namespace, *words, code=code)

    def get(self, *words: str) -> Any:
        return self.cluster.get(self.namespace, *words)

    def create(self, *objects: object) -> None:
        """Create objects that the admission has nothing to say against."""
        done = self.cluster.create(self.namespace, *objects)
        assert "Warning: chrek" not in done.err, done.err

    def pods(self, app: str = "web") -> list[str]:
        """Names of an app's pods that are not being deleted, oldest first."""
        return [each["metadata"]["name"] for each in self._pods(app)]

    def replaced(self, app: str = "web") -> str:
        """Delete the only pod of an app, and wait until the next is Ready; its name."""
        (before,) = self.wait(f"a pod of {app}", lambda: self.pods(app))
        self.kubectl("delete", "pod", before, "--wait=false")
        (after,) = self.wait_for_pods(1, app)
        return after

    def captured(self) -> str:
        """The token of the only pod, once that is captured; what is restored from it has it too."""
        (name,) = self.wait_for_pods(1)
        self.wait_for_checkpoint(name)
        return str(self.ask(name)["token"])

    def restored(self, token: str) -> str:
        """A pod that was just restored in place of the only one, which had this token."""
        name = self.replaced()
        self.wait_for_restored(name)
        assert self.ask(name)["token"] == token
        return name

    def ask(self, pod: str, path: str = "/") -> Any:
        """What the server in a pod answers."""
        where = f"/api/v1/namespaces/{self.namespace}/pods/{pod}:8000/proxy{path}"
        return json.loads(self.cluster.raw(where))

    def inside(self, pod: str, *command: str) -> str:
        return self.kubectl("exec", pod, "-c", "main", "--", *command).out

    def way(self, pod: str) -> str:
        """How a pod came to serve: its condition's reason, else what chrek-init said last."""
        said = [line for line in self.log(pod).splitlines() if line.startswith("chrek-init")]
        return self.condition(pod)[1] or (said[-1] if said else "untouched")

    def log(self, pod: str) -> str:
        return self.kubectl("logs", pod, "-c", "main").out

    def described(self, pod: str) -> str:
        """What a person reads first."""
        return self.kubectl("describe", "pod", pod).out

    def events(self, pod: str) -> dict[str, str]:
        """The agent's events on a pod: reason -> the newest message."""
        ours = self._events(pod)
        return {each["reason"]: each["message"] for each in ours}

    def times(self, pod: str, reason: str) -> int:
        """How often the agent said so of a pod."""
        return sum(each["count"] for each in self._events(pod) if each["reason"] == reason)

    def condition(self, pod: str) -> tuple[str, str]:
        """Whether it was restored, and the reason; empty strings: nothing was said yet."""
        conditions = self.get("pod", pod)["status"].get("conditions", [])
        found = [each for each in conditions if each["type"] == CONDITION]
        return (found[0]["status"], found[0]["reason"]) if found else ("", "")

    def container(self, pod: str) -> dict[str, Any]:
        """The status of the container `main`."""
        statuses = self.get("pod", pod)["status"].get("containerStatuses", [])
        return next((each for each in statuses if each["name"] == "main"), {})

    def wait(self, what: str, check: Callable[[], T | None], seconds: float = 60) -> T:
        return self.cluster.wait(what, check, seconds)

    def wait_for_pods(self, count: int, app: str = "web", seconds: float = 90) -> list[str]:
        """Wait until an app has so many pods and all are Ready; their names, oldest first."""

        def ready() -> list[str]:
            found = self._pods(app)
            good = len(found) == count and all(_has(pod, "Ready") for pod in found)
            return [pod["metadata"]["name"] for pod in found] if good else []

        return self.wait(f"{count} pods of {app} to be Ready", ready, seconds)

    def wait_for_all_restored(self, pods: list[str], app: str = "web", seconds: float = 30) -> None:
        """As wait_for_restored, of many at once and by their conditions only."""

        def restored() -> bool:
            found = {pod["metadata"]["name"]: pod for pod in self._pods(app)}
            return all(_has(found[name], CONDITION) for name in pods)

        self.wait("all of them to be restored", restored, seconds)

    def wait_for_reason(self, pod: str, restored: bool, reason: str, seconds: float = 30) -> None:
        """Wait until a pod says how it started: condition, event, and so `kubectl describe`."""
        wanted = ("True" if restored else "False", reason)
        self.wait(f"{pod}: {wanted}", lambda: self.condition(pod) == wanted, seconds)

        def event() -> str:
            told = self.events(pod).items()
            return next((name for name, message in told if reason in name + message), "")

        found = self.wait(f"{pod}: an event {reason}", event, seconds)
        described = self.described(pod)
        assert CONDITION in described
        assert found in described

    def wait_for_restored(self, pod: str, seconds: float = 30) -> None:
        self.wait_for_reason(pod, True, "Restored", seconds)

    def wait_for_restart(self, pod: str, count: int = 1, seconds: float = 60) -> Any:
        """Wait until the container `main` was started again so often, and is Ready; its status."""

        def again() -> Any:
            status = self.container(pod)
            return status if status.get("restartCount") == count and status["ready"] else None

        return self.wait(f"{pod} to be restarted {count} times", again, seconds)

    def is_ready(self, pod: str) -> bool:
        """Whether a pod is there and Ready."""
        found = self.cluster.find(self.namespace, "pod", pod)
        return bool(found) and _has(found, "Ready")

    def checkpoint(self, pod: str) -> Any:
        """The Checkpoint that a pod is the source or a placeholder of; {} if there is none."""
        name = self.get("pod", pod)["metadata"]["annotations"][CHECKPOINT_ID]
        return self.cluster.find(self.namespace, "checkpoint", name) or {}

    def variants(self, pod: str) -> list[Any]:
        """Those of a pod's Checkpoint that can be restored."""
        found = self.checkpoint(pod).get("status", {}).get("variants", [])
        return [each for each in found if each["phase"] == "Ready"]

    def stored(self, pod: str) -> Path:
        """Where a pod's Checkpoint lies in the claim."""
        annotations = self.get("pod", pod)["metadata"]["annotations"]
        return self.claim / self.namespace / str(annotations[CHECKPOINT_ID])

    def data(self, pod: str) -> Path:
        """Where the only variant of a pod's Checkpoint lies."""
        (variant,) = self.variants(pod)
        return self.stored(pod) / str(variant["name"])

    def copies(self, node: Node) -> Path:
        """Where the node's own directory has what the agent keeps for this namespace."""
        own = f"{self.chrek.release}.{self.chrek.namespace}"
        return node.root / "var/lib/chrek/cache" / own / self.namespace

    def wait_for_checkpoint(self, pod: str, variants: int = 1, seconds: float = 60) -> Any:
        """Wait until a pod's Checkpoint has so many variants to restore from, and says so."""
        self.wait(
            f"{variants} variants of the checkpoint of {pod}",
            lambda: len(self.variants(pod)) == variants,
            seconds,
        )
        found = self.checkpoint(pod)
        assert found["status"]["phase"] == "Ready"
        return found

    def explained(self) -> str:
        """All that may say why something does not work."""
        said = self.chrek.log("agent").splitlines()
        checkpoints = self.kubectl("get", "checkpoints", "-o", "yaml", code=None).out
        told = self.cluster.explain(self.namespace)
        return "\n".join([told, checkpoints, "the agent:", *said[-150:]])

    def _pods(self, app: str) -> list[Any]:
        found = self.get("pods", "-l", f"app={app}")["items"]
        alive = [each for each in found if "deletionTimestamp" not in each["metadata"]]
        return sorted(alive, key=lambda each: str(each["metadata"]["creationTimestamp"]))

    def _events(self, pod: str) -> list[Any]:
        uid = self.get("pod", pod)["metadata"]["uid"]
        chosen = f"involvedObject.uid={uid}"
        found = self.get("events", "--field-selector", chosen)["items"]
        ours = [each for each in found if each["source"].get("component") == "chrek-agent"]
        return sorted(ours, key=lambda each: str(each["lastTimestamp"]))


def _has(pod: Any, condition: str) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)


@contextmanager
def at_work(cluster: Cluster, name: str, *values: str) -> Iterator[Team]:
    """A labelled namespace with a claim, and chrek installed for it with these values."""
    namespace = f"{name}-{uuid.uuid4().hex[:6]}"
    make_namespace(cluster, namespace, {"chrek": "enabled"})
    try:
        claim = cluster.claim(namespace)
        # A busy machine takes longer for a restore than these small models take to load.
        cluster.kubectl("annotate", "namespace", namespace, "chrek.io/restore-timeout=60")
        own = [f"watchNamespace={namespace}", "storage.pvc.existingClaim=chrek-checkpoints"]
        with installed(cluster, *own, *values, team=namespace) as chrek:
            made = Team(cluster, chrek, namespace, claim)
            try:
                yield made
            except BaseException:
                print(made.explained())
                raise
            finally:
                # With an agent and pods there, it is done at once; and nothing is captured anew.
                cluster.kubectl("label", "namespace", namespace, "chrek-")
                made.kubectl("delete", "checkpoints", "--all", "--timeout=60s", code=None)
    finally:
        remove_namespace(cluster, namespace)
