"""chrek in the cluster, by helm, as a user installs it; gone afterwards."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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

    def log(self, component: str = "webhook") -> str:
        """What all pods of a component said."""
        selector = f"app.kubernetes.io/name=chrek,app.kubernetes.io/component={component}"
        options = ["--tail=-1", "--prefix", "--ignore-errors"]
        return self.cluster.kubectl(
            "-n", self.namespace, "logs", "-l", selector, *options, code=None
        ).out


@contextmanager
def installed(cluster: Cluster, *values: str, team: str) -> Iterator[Installation]:
    """Install with `--set` of each of `values`, and wait until pods of `team` are asked about."""
    mark = uuid.uuid4().hex[:6]
    namespace, release = f"chrek-system-{mark}", f"chrek-{mark}"
    make_namespace(cluster, namespace, {})
    sets = [word for value in values for word in ("--set", value)]
    try:
        cluster.helm(
            "install", release, CHART, "--namespace", namespace, "--wait",
            "--timeout", "180s", *sets,
        )  # fmt: skip
        cluster.wait("the webhook to be asked", lambda: _asked(cluster, team))
        yield Installation(cluster, namespace, release)
    except BaseException:
        print(cluster.explain(namespace))
        raise
    finally:
        cluster.helm("uninstall", release, "--namespace", namespace, "--wait", code=None)
        remove_namespace(cluster, namespace)


def _asked(cluster: Cluster, namespace: str) -> bool:
    """A Service takes a moment to lead to pods that are ready."""
    nonsense = pod("asked", annotations={"chrek.io/checkpoint": "?"})
    done = cluster.kubectl("-n", namespace, "create", "-f", "-", "--dry-run=server", input=nonsense)
    return "chrek.io/checkpoint is '?'" in done.err
