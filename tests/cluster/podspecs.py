"""Pods as users write them."""

from typing import Any

from .images import image_name

SERVER = image_name("python")
WITH_ENTRYPOINT = image_name("entrypoint")
WITH_INIT = image_name("placeholder")
COMMAND = ["python3", "-u", "/srv/serve.py"]
MODEL = ["python3", "-u", "/srv/model.py"]
LOAD_SECONDS = 5
MEBIBYTES = 50

HEALTH: dict[str, Any] = {"httpGet": {"path": "/healthz", "port": 8000}, "periodSeconds": 1}


def container(**members: Any) -> dict[str, Any]:
    """A server with a readiness probe; a member that is None is left out."""
    written = {
        "name": "main",
        "image": SERVER,
        "imagePullPolicy": "IfNotPresent",
        "command": COMMAND,
        "readinessProbe": HEALTH,
    } | members
    return {key: value for key, value in written.items() if value is not None}


def model(*options: str, mebibytes: int = MEBIBYTES, **members: Any) -> dict[str, Any]:
    """A server that loads for a while, and then answers out of its memory."""
    size = ["--load", str(LOAD_SECONDS), "--mebibytes", str(mebibytes)]
    return container(**{"command": [*MODEL, *size, *options], **members})


def pod(
    name: str,
    *containers: dict[str, Any],
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """An annotated pod; of one server where no containers are given."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "annotations": {"chrek.io/checkpoint": "auto"} if annotations is None else annotations,
            "labels": labels or {},
        },
        "spec": {
            "containers": list(containers) or [container()],
            "terminationGracePeriodSeconds": 20,
            **spec,
        },
    }


def template(written: dict[str, Any]) -> dict[str, Any]:
    """The template of what makes such pods."""
    metadata = {key: value for key, value in written["metadata"].items() if key != "name"}
    return {"metadata": metadata, "spec": written["spec"]}


def deployment(name: str, replicas: int, written: dict[str, Any]) -> dict[str, Any]:
    """A Deployment of such pods."""
    made = template(written)
    made["metadata"]["labels"] = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": made,
        },
    }


def stateful_set(name: str, replicas: int, written: dict[str, Any]) -> dict[str, Any]:
    """A StatefulSet of such pods."""
    made = deployment(name, replicas, written)
    made["spec"] |= {"serviceName": name, "podManagementPolicy": "Parallel"}
    return {**made, "kind": "StatefulSet"}


def service(name: str) -> dict[str, Any]:
    """A Service before the pods of a Deployment."""
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8000}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def config_map(name: str, **content: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": content}


def job(name: str, written: dict[str, Any]) -> dict[str, Any]:
    """A Job of one such pod, tried once."""
    made = template(written)
    made["spec"]["restartPolicy"] = "Never"
    spec = {"backoffLimit": 0, "template": made}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
