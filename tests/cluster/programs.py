"""The programs that make the cluster: first the runtime, then each after what it needs."""

from dataclasses import dataclass

from .layout import (
    CONFIGURATION,
    CONTAINERD,
    KEYS,
    NODE,
    NODE_ADDRESS,
    PAUSE,
    PODS,
    PROGRAMS,
    SERVICES,
)

ETCD = "http://127.0.0.1:2379"
# In 1.20 a gate; from 1.21 on every cluster mounts tokens this way.
FEATURES = "--feature-gates=BoundServiceAccountTokenVolume=true"


@dataclass(frozen=True)
class Program:
    """A program on the node; it is well when `health` answers 200 (from the host)."""

    name: str
    command: list[str]
    health: str | None = None
    health_seconds: float = 180.0


def all_programs() -> list[Program]:
    return [
        Program("containerd", ["containerd", "--config", str(CONFIGURATION / "containerd.toml")]),
        _etcd(),
        _apiserver(),
        _controller_manager(),
        _scheduler(),
        _kubelet(),
        _proxy(),
    ]


def _etcd() -> Program:
    # In the node's memory: it is quick, and gone with the node.
    return Program(
        "etcd",
        [
            "etcd",
            "--data-dir=/run/etcd",
            f"--listen-client-urls={ETCD}",
            f"--advertise-client-urls={ETCD}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--logger=zap",
        ],
    )


def _apiserver() -> Program:
    return Program(
        "kube-apiserver",
        [
            str(PROGRAMS / "kube-apiserver"),
            f"--etcd-servers={ETCD}",
            f"--bind-address={NODE_ADDRESS}",
            f"--advertise-address={NODE_ADDRESS}",
            f"--service-cluster-ip-range={SERVICES}",
            f"--tls-cert-file={KEYS}/kube-apiserver.crt",
            f"--tls-private-key-file={KEYS}/kube-apiserver.key",
            f"--client-ca-file={KEYS}/ca.crt",
            f"--kubelet-certificate-authority={KEYS}/ca.crt",
            f"--kubelet-client-certificate={KEYS}/kubelet-client.crt",
            f"--kubelet-client-key={KEYS}/kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={KEYS}/service-accounts.pub",
            f"--service-account-signing-key-file={KEYS}/service-accounts.key",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction,PodSecurityPolicy",
            "--allow-privileged=true",
            FEATURES,
        ],
        health=f"https://{NODE_ADDRESS}:6443/readyz",
    )


def _controller_manager() -> Program:
    return Program(
        "kube-controller-manager",
        [
            str(PROGRAMS / "kube-controller-manager"),
            *_as("kube-controller-manager"),
            f"--bind-address={NODE_ADDRESS}",
            "--port=0",
            f"--root-ca-file={KEYS}/ca.crt",
            f"--service-account-private-key-file={KEYS}/service-accounts.key",
            f"--cluster-signing-cert-file={KEYS}/ca.crt",
            f"--cluster-signing-key-file={KEYS}/ca.key",
            "--use-service-account-credentials=true",
            "--controllers=*,-nodeipam",
            "--leader-elect=false",
            FEATURES,
        ],
        health=f"https://{NODE_ADDRESS}:10257/healthz",
    )


def _scheduler() -> Program:
    return Program(
        "kube-scheduler",
        [
            str(PROGRAMS / "kube-scheduler"),
            *_as("kube-scheduler"),
            f"--bind-address={NODE_ADDRESS}",
            "--port=0",
            "--leader-elect=false",
        ],
        health=f"https://{NODE_ADDRESS}:10259/healthz",
    )


def _kubelet() -> Program:
    return Program(
        "kubelet",
        [
            str(PROGRAMS / "kubelet"),
            f"--config={CONFIGURATION}/kubelet.json",
            f"--kubeconfig={CONFIGURATION}/kubelet.kubeconfig",
            "--container-runtime=remote",
            f"--container-runtime-endpoint=unix://{CONTAINERD}",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_ADDRESS}",
            f"--pod-infra-container-image={PAUSE}",
            "--volume-plugin-dir=/var/lib/kubelet/volume-plugins",
        ],
        health=f"http://{NODE_ADDRESS}:10248/healthz",
    )


def _proxy() -> Program:
    return Program(
        "kube-proxy",
        [
            str(PROGRAMS / "kube-proxy"),
            f"--kubeconfig={CONFIGURATION}/kube-proxy.kubeconfig",
            f"--hostname-override={NODE}",
            "--proxy-mode=iptables",
            f"--cluster-cidr={PODS}",
            f"--healthz-bind-address={NODE_ADDRESS}:10256",
            "--metrics-bind-address=127.0.0.1:10249",
            # These can be set in the machine's first network namespace only.
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ],
        health=f"http://{NODE_ADDRESS}:10256/healthz",
    )


def _as(client: str) -> list[str]:
    path = CONFIGURATION / f"{client}.kubeconfig"
    names = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return [f"--{name}={path}" for name in names]
