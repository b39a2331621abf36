"""chrek in the cluster, by helm, as a user installs it; gone afterwards."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from . import preload
from .client import Cluster
from .conftest import make_namespace, remove_namespace
from .podspecs import pod
from .releases import CHART


@dataclass(frozen=True)
class Installation:
    """A release, in a namespace of its own."""

    cluster: Cluster
    namespace: str
    release: str

    @property
    def webhook(self) -> str:
        """The Deployment of the webhook."""
        return f"{self.release}-webhook"

    @property
    def agent(self) -> str:
        """The DaemonSet of the agent."""
        return f"{self.release}-agent"

    def pods(self, component: str) -> list[Any]:
        """Those of a component that are not being deleted."""
        found = self._pods(component)
        return [each for each in found if "deletionTimestamp" not in each["metadata"]]

    def wait_until_gone(self, component: str) -> None:
        """Until no pod of a component is there any more: one that ends may still work."""
        what = f"no {component} any more"
        self.cluster.wait(what, lambda: not self._pods(component), seconds=90)

    def _pods(self, component: str) -> list[Any]:
        found = self.cluster.get(self.namespace, "pods", "-l", _selector(component))
        return list(found["items"])

    def log(self, component: str = "webhook") -> str:
        """What all pods of a component said."""
        options = ["--tail=-1", "--prefix", "--ignore-errors"]
        return self.cluster.kubectl(
            "-n", self.namespace, "logs", "-l", _selector(component), *options, code=None
        ).out

    def upgrade(self, *values: str) -> None:
        """`helm upgrade` with `--set` of each of `values`, and what was set before."""
        self.cluster.helm(
            "upgrade", self.release, CHART, "--namespace", self.namespace,
            "--reset-then-reuse-values", "--wait", "--timeout", "180s", *_sets(values),
        )  # fmt: skip

    def wait_until_asked(self, team: str) -> None:
        """Until the API server asks the webhook about pods of `team`."""
        self.cluster.wait("the webhook to be asked", lambda: _asked(self.cluster, team))


@contextmanager
def installed(cluster: Cluster, *values: str, team: str) -> Iterator[Installation]:
    """Install with `--set` of each of `values`, and wait until pods of `team` are asked about."""
    mark = uuid.uuid4().hex[:6]
    namespace, release = f"chrek-system-{mark}", f"chrek-{mark}"
    make_namespace(cluster, namespace, {})
    made = Installation(cluster, namespace, release)
    try:
        cluster.helm(
            "install", release, CHART, "--namespace", namespace, "--wait",
            "--timeout", "180s", *_sets(values), *preload.values(cluster),
        )  # fmt: skip
        made.wait_until_asked(team)
        yield made
    except BaseException:
        print(cluster.explain(namespace))
        raise
    finally:
        cluster.helm("uninstall", release, "--namespace", namespace, "--wait", code=None)
        remove_namespace(cluster, namespace)


def _selector(component: str) -> str:
    return f"app.kubernetes.io/name=chrek,app.kubernetes.io/component={component}"


def _sets(values: tuple[str, ...]) -> list[str]:
    return [word for value in values for word in ("--set", value)]


def _asked(cluster: Cluster, namespace: str) -> bool:
    """A Service takes a moment to lead to pods that are ready."""
    nonsense = pod("asked", annotations={"chrek.io/checkpoint": "?"})
    done = cluster.kubectl("-n", namespace, "create", "-f", "-", "--dry-run=server", input=nonsense)
    return "chrek.io/checkpoint is '?'" in done.err
