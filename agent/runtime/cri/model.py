"""What the agent knows of a node's containers and images from the runtime."""

from dataclasses import dataclass, field
from typing import Any, Literal, NewType

ContainerID = NewType("ContainerID", str)
"""The runtime's id of a container, without the `containerd://` of Kubernetes; part of its cgroup's
name."""

State = Literal["created", "running", "exited", "unknown"]


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod. attempt: how often the kubelet had made it before in this sandbox.

    sandbox: the runtime's id of the pod's sandbox; in a Status "" where the runtime is silent.
    created_ns: since 1970.
    """

    id: ContainerID
    sandbox: str
    pod_uid: str
    pod_name: str
    namespace: str
    name: str
    attempt: int
    state: State
    created_ns: int


@dataclass(frozen=True, slots=True)
class MountPoint:
    """A volume in a container. host_path: where the kubelet has it, in the host's root."""

    container_path: str
    host_path: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Status:
    """One container in full.

    pid: of its first process in the node's PID namespace; None unless it runs and the runtime
    tells. started_ns: since 1970; 0 before it started. image: as the pod names it, where the
    runtime still knows. image_ref: what image() takes: a digest or the runtime's id of it.
    runtime_spec: the OCI configuration it was started with; {} where the runtime does not tell.
    """

    container: Container
    pid: int | None
    started_ns: int
    image: str
    image_ref: str
    mounts: tuple[MountPoint, ...] = ()
    runtime_spec: dict[str, Any] = field(default_factory=dict)
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """An image on this node. digest: `sha256:` and 64 hex characters, of its configuration: the
    same on every node for the same content, however and under whichever name it was pulled."""

    digest: str
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
