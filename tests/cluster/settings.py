"""What containerd, the kubelet and the CNI plugins are told."""

from .layout import CGROUP, CONFIGURATION, CONTAINERD, KEYS, NODE_ADDRESS, PAUSE, PODS

# restrict_oom_score_adj: without CAP_SYS_RESOURCE it cannot be lowered, and every sandbox
# would fail with "can't get final child's PID from pipe: EOF".
CONTAINERD_TOML = f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{CONTAINERD}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def kubelet() -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(KEYS / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(KEYS / "kubelet-server.crt"),
        "tlsPrivateKeyFile": str(KEYS / "kubelet-server.key"),
        "address": NODE_ADDRESS,
        "healthzBindAddress": NODE_ADDRESS,
        # Nothing answers there: pods get a resolv.conf as anywhere, and know at once that a
        # name cannot be found.
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(CONFIGURATION / "resolv.conf"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        # The machine's disk may be nearly full, and these pods are not what fills it.
        "evictionHard": {},
        "imageGCHighThresholdPercent": 100,
        # Tests wait for these.
        "syncFrequency": "2s",
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "nodeStatusUpdateFrequency": "5s",
        "maxPods": 110,
    }


# ptp and not bridge: a reply between two pods of one node passes iptables without the
# module br_netfilter, which Services need. There is no way out of the node's network.
def network() -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "0.4.0",
        "name": "chrek-cluster",
        "plugins": [
            {"type": "ptp", "ipam": addresses, "ipMasq": False},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
