"""The files that the cluster's programs read, written anew at every start of the node."""

import hashlib
import json
import shutil
from base64 import b64encode
from pathlib import Path

from . import keys, settings
from .layout import (
    API_SERVER,
    API_SERVICE,
    CONFIGURATION,
    HERE,
    KEYS,
    KUBECONFIG,
    NODE,
    NODE_ADDRESS,
)

# What each program says it is to the API server.
CLIENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "admin": ("kubernetes-admin", ("system:masters",)),
    "kube-controller-manager": ("system:kube-controller-manager", ()),
    "kube-scheduler": ("system:kube-scheduler", ()),
    "kube-proxy": ("system:kube-proxy", ()),
    "kubelet": (f"system:node:{NODE}", ("system:nodes",)),
}
SERVICE = "kubernetes.default.svc"
# What was written or made by others of these is not this cluster.
DECIDING = ("configuration.py", "init.py", "keys.py", "layout.py", "link.py", "settings.py")


def write() -> None:
    """Keys, kubeconfigs and each program's own configuration."""
    for folder in (KEYS, CONFIGURATION):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
    keys.make_authority(KEYS)
    names = ["kubernetes", "kubernetes.default", SERVICE, f"{SERVICE}.cluster.local", "localhost"]
    addresses = [API_SERVICE, NODE_ADDRESS, "127.0.0.1"]
    keys.make_certificate(KEYS, "kube-apiserver", "kube-apiserver", hosts=[*names, *addresses])
    keys.make_certificate(KEYS, "kubelet-server", f"system:node:{NODE}", hosts=[NODE, NODE_ADDRESS])
    keys.make_certificate(KEYS, "kubelet-client", "kube-apiserver", groups=["system:masters"])
    for client, (user, groups) in CLIENTS.items():
        keys.make_certificate(KEYS, client, user, groups)
        _write_kubeconfig(CONFIGURATION / f"{client}.kubeconfig", client)
    _write_kubeconfig(KUBECONFIG, "admin")
    (CONFIGURATION / "containerd.toml").write_text(settings.CONTAINERD_TOML)
    (CONFIGURATION / "kubelet.json").write_text(json.dumps(settings.kubelet(), indent=2))
    (CONFIGURATION / "cni.conflist").write_text(json.dumps(settings.network(), indent=2))
    (CONFIGURATION / "resolv.conf").write_text("nameserver 127.0.0.1\noptions attempts:1\n")
    (CONFIGURATION / "recipe").write_text(_recipe())


def is_current() -> bool:
    """Whether it was all written, and by this code."""
    recipe = CONFIGURATION / "recipe"
    return recipe.is_file() and recipe.read_text() == _recipe()


def _recipe() -> str:
    sources = b"".join((HERE / name).read_bytes() for name in DECIDING)
    return hashlib.sha256(sources).hexdigest()


def _write_kubeconfig(path: Path, client: str) -> None:
    def content(name: str) -> str:
        return b64encode((KEYS / name).read_bytes()).decode()

    user = {
        "client-certificate-data": content(f"{client}.crt"),
        "client-key-data": content(f"{client}.key"),
    }
    cluster = {"server": API_SERVER, "certificate-authority-data": content(keys.CA_CERTIFICATE)}
    path.touch(mode=0o600)
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "chrek-test", "cluster": cluster}],
                "users": [{"name": client, "user": user}],
                "contexts": [
                    {"name": "chrek-test", "context": {"cluster": "chrek-test", "user": client}}
                ],
                "current-context": "chrek-test",
            }
        )
    )
