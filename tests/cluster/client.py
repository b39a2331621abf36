"""What a test does with a cluster, wherever that runs: create, wait, have volumes."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .kubectl import Done, Kubectl
from .layout import VOLUMES

__all__ = ["RESTRICTED", "VOLUME_OF", "Cluster", "Done"]

T = TypeVar("T")
RESTRICTED = "--as=chrek-test:restricted"  # objects.yaml
VOLUME_OF = "chrek-test/namespace"


class Cluster(Kubectl):
    """A cluster to test on."""

    def wait(
        self,
        what: str,
        check: Callable[[], T | None],
        seconds: float = 60,
        now: Callable[[], object] = lambda: "",
        pause_seconds: float = 0.2,
    ) -> T:
        """Ask until the answer is true; on failure say what was waited for, and `now`."""
        deadline = time.monotonic() + seconds
        while not (found := check()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not after {seconds:.0f} s. {now()}")
            time.sleep(pause_seconds)
        return found

    def wait_for_pod(
        self, namespace: str, name: str, condition: str = "Ready", seconds: float = 90
    ) -> Any:
        """Wait for a pod's condition, or with `phase=...` for its phase; the pod."""

        def check() -> Any:
            pod = self.get(namespace, "pod", name)
            if condition.startswith("phase="):
                return pod if pod["status"].get("phase") == condition[6:] else None
            conditions = {each["type"]: each for each in pod["status"].get("conditions", [])}
            return pod if conditions.get(condition, {}).get("status") == "True" else None

        return self.wait(
            f"pod {name} {condition}",
            check,
            seconds,
            lambda: self.get(namespace, "pod", name).get("status"),
        )

    def wait_for_rollout(self, namespace: str, what: str, seconds: float = 120) -> None:
        """Wait until a Deployment or DaemonSet (`deployment/NAME`) runs as it should."""
        limit = f"--timeout={seconds:.0f}s"
        self.kubectl("-n", namespace, "rollout", "status", what, limit, timeout=seconds + 30)

    def volume(
        self,
        namespace: str,
        claim: str,
        size: str = "1Gi",
        modes: Sequence[str] = ("ReadWriteMany",),
        storage_class: str = "chrek-test",
    ) -> Path:
        """Make a volume that only this claim can bind; the directory on the node that it is."""
        folder = VOLUMES / namespace / claim
        if self.own:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o777)
        spec = {
            "capacity": {"storage": size},
            "accessModes": list(modes),
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": storage_class,
            "claimRef": {"namespace": namespace, "name": claim},
            "hostPath": {"path": str(folder), "type": "DirectoryOrCreate"},
        }
        metadata = {"name": f"{namespace}-{claim}", "labels": {VOLUME_OF: namespace}}
        volume = {"apiVersion": "v1", "kind": "PersistentVolume"}
        self.kubectl("create", "-f", "-", input={**volume, "metadata": metadata, "spec": spec})
        return folder

    def claim(
        self,
        namespace: str,
        name: str = "chrek-checkpoints",
        size: str = "1Gi",
        modes: Sequence[str] = ("ReadWriteMany",),
    ) -> Path:
        """Make a claim and its volume, and wait until they are bound; the volume's directory."""
        folder = self.volume(namespace, name, size, modes)
        spec = {
            "accessModes": list(modes),
            "resources": {"requests": {"storage": size}},
            "storageClassName": "chrek-test",
        }
        metadata = {"name": name}
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}
        self.create(namespace, {**claim, "spec": spec})
        self.wait(
            f"claim {name} bound",
            lambda: self.get(namespace, "pvc", name)["status"]["phase"] == "Bound",
        )
        return folder
