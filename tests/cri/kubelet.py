"""A kubelet's side of the interface: makes pods, by messages of the tests' own."""

import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from grpc_tools import protoc

from . import image

PATIENCE_SECONDS = 60.0
NODE, CONTAINER = 2, 1


def messages() -> dict[str, Any]:
    """The classes of making.proto, by name."""
    here = Path(__file__).parent
    with tempfile.NamedTemporaryFile() as out:
        arguments = ["protoc", f"-I{here}", f"--descriptor_set_out={out.name}", "making.proto"]
        assert protoc.main(arguments) == 0
        described = descriptor_pb2.FileDescriptorSet.FromString(Path(out.name).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in described.file:
        pool.Add(file)
    names = [message.name for file in described.file for message in file.message_type]
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"chrek.tests.cri.{name}"))
        for name in names
    }


@dataclass
class Pod:
    """A pod that runs in a sandbox with the node's network."""

    name: str
    namespace: str
    uid: str
    sandbox: str
    config: Message


@dataclass
class Kubelet:
    """Speaks to the runtime at `socket`; its pods are below `cgroup`, their logs below `logs`."""

    socket: Path
    cgroup: str
    logs: Path
    made: dict[str, Any] = field(default_factory=messages, repr=False)

    def run_pod(self, name: str, namespace: str = "default") -> Pod:
        """Make and start a pod's sandbox."""
        uid = str(uuid.uuid4())
        config = self.made["Sandbox"](
            metadata={"name": name, "uid": uid, "namespace": namespace},
            log_directory=str(self.logs),
            labels=_labels(name, namespace, uid),
            linux={
                "cgroup_parent": self.cgroup,
                "security_context": {"namespace_options": {"network": NODE}},
            },
        )
        answer = self.call("RunPodSandbox", "RunPodSandboxResponse", config=config)
        return Pod(name, namespace, uid, answer.pod_sandbox_id, config)

    def run_container(
        self,
        pod: Pod,
        name: str = "main",
        *,
        attempt: int = 0,
        mounts: dict[str, Path] | None = None,
        environment: dict[str, str] | None = None,
        started: bool = True,
    ) -> str:
        """Make a container in a pod, with volumes by their place in it; its id."""
        labels = _labels(pod.name, pod.namespace, pod.uid) | {"io.kubernetes.container.name": name}
        options = {"network": NODE, "pid": CONTAINER}
        config = self.made["ContainerConfig"](
            metadata={"name": name, "attempt": attempt},
            image={"image": image.NAME},
            envs=[{"key": key, "value": value} for key, value in (environment or {}).items()],
            mounts=[
                {"container_path": place, "host_path": str(path), "readonly": True}
                for place, path in (mounts or {}).items()
            ],
            labels=labels,
            linux={"security_context": {"namespace_options": options}},
        )
        answer = self.call(
            "CreateContainer",
            "CreateContainerResponse",
            pod_sandbox_id=pod.sandbox,
            config=config,
            sandbox_config=pod.config,
        )
        if started:
            self.call("StartContainer", "Nothing", container_id=answer.container_id)
        return str(answer.container_id)

    def stop_container(self, container: str) -> None:
        self.call("StopContainer", "Nothing", container_id=container)

    def remove_pod(self, pod: Pod) -> None:
        self.call("RemovePodSandbox", "Nothing", pod_sandbox_id=pod.sandbox)

    def call(self, method: str, answer: str, **request: Any) -> Any:
        """One call of the interface."""
        asked = self.made[f"{method}Request"](**request)
        with grpc.insecure_channel(
            f"unix:{self.socket}", options=(("grpc.default_authority", "localhost"),)
        ) as channel:
            send = channel.unary_unary(
                f"/runtime.v1.RuntimeService/{method}",
                request_serializer=type(asked).SerializeToString,
                response_deserializer=self.made[answer].FromString,
            )
            return send(asked, timeout=PATIENCE_SECONDS)


def _labels(pod: str, namespace: str, uid: str) -> dict[str, str]:
    return {
        "io.kubernetes.pod.name": pod,
        "io.kubernetes.pod.namespace": namespace,
        "io.kubernetes.pod.uid": uid,
    }
