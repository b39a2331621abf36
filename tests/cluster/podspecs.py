"""Pods as users write them."""

from typing import Any

from .images import image_name

SERVER = image_name("python")
WITH_ENTRYPOINT = image_name("entrypoint")
WITH_INIT = image_name("placeholder")
COMMAND = ["python3", "-u", "/srv/serve.py"]

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


def job(name: str, written: dict[str, Any]) -> dict[str, Any]:
    """A Job of one such pod, tried once."""
    made = template(written)
    made["spec"]["restartPolicy"] = "Never"
    spec = {"backoffLimit": 0, "template": made}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
