"""Releases of the chart in namespaces of a test; unless `running`, only their objects: no image is
ever pulled."""

import uuid
from dataclasses import dataclass
from typing import Any

from .client import Cluster
from .conftest import make_namespace
from .layout import REPOSITORY

CHART = str(REPOSITORY / "manifests" / "chrek")
IMAGELESS = [
    f"--set=images.{part}.repository=docker.io/chrek-test/none-such"
    for part in ("webhook", "agent")
] + ["--set=images.pullPolicy=Never"]
SIZE = "--set=storage.pvc.size=1Gi"
OF_EVERY_NAMESPACE = {"serviceaccount/default", "configmap/kube-root-ca.crt"}


@dataclass(frozen=True)
class Releases:
    """Namespaces of a test, and helm in them."""

    cluster: Cluster
    namespaces: list[str]
    running: bool = False

    def namespace(self, name: str = "chart", made: bool = False) -> str:
        """Another one, which helm makes if it is not `made`."""
        whole = f"{name}-{uuid.uuid4().hex[:6]}"
        if made:
            make_namespace(self.cluster, whole, {"chrek": "enabled"})
        self.namespaces.append(whole)
        return whole

    def install(self, namespace: str, *flags: str, release: str = "chrek", code: int = 0) -> str:
        return self._helm("install", namespace, [release, CHART, "--create-namespace"], flags, code)

    def upgrade(self, namespace: str, *flags: str) -> str:
        words = ["chrek", CHART, "--reset-then-reuse-values"]
        return self._helm("upgrade", namespace, words, flags)

    def uninstall(self, namespace: str) -> str:
        return self._helm("uninstall", namespace, ["chrek"], ())

    def _helm(
        self, verb: str, namespace: str, words: list[str], flags: tuple[str, ...], code: int = 0
    ) -> str:
        how = ["--wait", "--timeout=180s"] if self.running else IMAGELESS
        chosen = [*how, *flags] if verb != "uninstall" else []
        done = self.cluster.helm(verb, "--namespace", namespace, *words, *chosen, code=code)
        return done.out + done.err

    def configuration(self, namespace: str) -> Any:
        """The configuration's only webhook."""
        found = self.cluster.get(namespace, "mutatingwebhookconfiguration", f"chrek.{namespace}")
        (webhook,) = found["webhooks"]
        return webhook

    def cluster_objects(self, namespace: str) -> set[str]:
        """What lies in no namespace and is named after this one."""
        kinds = "clusterroles,clusterrolebindings,mutatingwebhookconfigurations"
        names = self.cluster.kubectl("get", kinds, "-o", "name").out.split()
        return {each for each in names if each.endswith(f".{namespace}")}

    def objects(self, namespace: str) -> set[str]:
        """What lies in the namespace, but for what lies in every one and for what passes."""
        listed = ["api-resources", "--verbs=list", "--namespaced", "-o", "name"]
        kinds = [
            each
            for each in self.cluster.kubectl(*listed).out.split()
            if each.partition(".")[0] not in {"events", "podmetrics"}
        ]
        found = self.cluster.get(namespace, ",".join(kinds))["items"]
        names = {f"{each['kind'].lower()}/{each['metadata']['name']}" for each in found}
        token_of_default = {name for name in names if name.startswith("secret/default-token-")}
        return names - OF_EVERY_NAMESPACE - token_of_default
