"""Pods that only show what the cluster can do."""

from .client import Cluster
from .images import image_name

PYTHON = image_name("python")
SERVER = image_name("entrypoint")


def pod(name: str, image: str = SERVER, **container: object) -> dict[str, object]:
    labels = {"app": name}
    main = {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", **container}
    spec = {"containers": [main], "terminationGracePeriodSeconds": 5}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }


def once(name: str, code: str) -> dict[str, object]:
    """A pod that runs Python code once."""
    made = pod(name, PYTHON, command=["python3", "-c", code])
    made["spec"]["restartPolicy"] = "Never"  # type: ignore[index]
    return made


def service(name: str) -> dict[str, object]:
    ports = [{"port": 80, "targetPort": 8000}]
    spec = {"selector": {"app": name}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def output_of(cluster: Cluster, namespace: str, name: str) -> str:
    """What a pod that runs once printed, after its good end."""
    cluster.wait_for_pod(namespace, name, "phase=Succeeded")
    return cluster.kubectl("-n", namespace, "logs", name).out
