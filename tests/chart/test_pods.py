"""The pods that the chart makes: what they may do on a node, and how they come and go."""

import pytest

from .rendering import SIZE, Object, Values, pod, pods, render
from .value_sets import VALUE_SETS

SETS = pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
RESTRICTED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip


def not_restricted(spec: Object) -> list[str]:
    """What Pod Security's level `restricted` would refuse, after its published controls."""
    found = [field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    found += [
        volume["name"] for volume in spec["volumes"] if not RESTRICTED_VOLUMES & volume.keys()
    ]
    whole = spec.get("securityContext", {})
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        own = container["securityContext"]
        both = {**whole, **own}
        checks = {
            "privileged": not own.get("privileged"),
            "escalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "non-root": both.get("runAsNonRoot") is True and both.get("runAsUser") != 0,
            "seccomp": both.get("seccompProfile", {}).get("type")
            in {"RuntimeDefault", "Localhost"},
            "host ports": not [port for port in container["ports"] if port.get("hostPort")],
            "proc": "procMount" not in own,
        }
        found += [name for name, good in checks.items() if not good]
    return found


@SETS
def test_the_webhook_passes_pod_security_restricted(values: Values) -> None:
    assert not_restricted(pod(render(values), "webhook")["spec"]) == []


def test_the_check_itself_refuses_the_agent() -> None:
    refused = not_restricted(pod(render(SIZE), "agent")["spec"])
    assert {"hostPID", "seccomp", "privileged", "non-root", "escalation"} <= set(refused)


@SETS
def test_the_webhook_is_nobody_and_writes_to_memory_only(values: Values) -> None:
    spec = pod(render(values), "webhook")["spec"]
    assert spec["securityContext"]["runAsUser"] == 65532
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert spec["volumes"] == [
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}
    ]


def host_paths(*values: Values) -> dict[str, tuple[str, Object]]:
    """Where the agent has what of the node: path there, path here and how."""
    spec = pod(render(*values), "agent")["spec"]
    mounts = {mount["name"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in spec["volumes"]}
    return {
        volume["hostPath"]["path"]: (volume["hostPath"]["type"], mounts[volume["name"]])
        for volume in spec["volumes"]
        if "type" in volume.get("hostPath", {})
    }


@SETS
def test_the_agent_is_root_on_its_node_and_reaches_few_directories(values: Values) -> None:
    spec = pod(render(values), "agent")["spec"]
    (container,) = spec["containers"]
    assert spec["hostPID"] is True
    assert container["securityContext"]["privileged"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert not spec.get("hostNetwork")
    reached = host_paths(values)
    reached.pop("/opt/nvidia/lib64", None)  # where the values name it
    for place in ("/var/lib/chrek/cache", "/mnt/fast"):  # where they want it
        how = ("DirectoryOrCreate", {"name": "node-cache", "mountPath": "/var/cache/chrek"})
        assert reached.pop(f"{place}/chrek.my-team", how) == how
    assert reached == {
        "/run": (
            "Directory",
            {
                "name": "run",
                "mountPath": "/host/run",
                "readOnly": True,
                "mountPropagation": "HostToContainer",
            },
        ),
        "/var/lib/chrek/chrek.my-team": (
            "DirectoryOrCreate", {"name": "state", "mountPath": "/var/lib/chrek"},
        ),
        "/var/lib/kubelet/seccomp": (
            "DirectoryOrCreate", {"name": "seccomp", "mountPath": "/host/seccomp"},
        ),
        "/var/lib/kubelet/pod-resources": (
            "DirectoryOrCreate",
            {"name": "pod-resources", "mountPath": "/host/pod-resources", "readOnly": True},
        ),
    }  # fmt: skip


@SETS
def test_what_a_restore_prepares_stays_in_memory(values: Values) -> None:
    volumes = {each["name"]: each for each in pod(render(values), "agent")["spec"]["volumes"]}
    assert volumes["scratch"]["emptyDir"] == {"medium": "Memory"}


def test_agents_of_two_releases_share_no_directory_of_a_node() -> None:
    def own(release: str, namespace: str) -> set[str]:
        objects = render(SIZE, release=release, namespace=namespace)
        found = {
            volume["hostPath"]["path"]
            for volume in pod(objects, "agent")["spec"]["volumes"]
            if volume["name"] in ("state", "node-cache")
        }
        assert len(found) == 2
        return found

    assert own("chrek-a", "b").isdisjoint(own("chrek", "a-b"))


def test_without_a_size_nothing_of_the_nodes_disk_is_mounted() -> None:
    volumes = pod(render(VALUE_SETS["nothing on the nodes' disks"]), "agent")["spec"]["volumes"]
    assert "node-cache" not in [volume["name"] for volume in volumes]


def test_a_node_that_needs_more_gets_it() -> None:
    spec = pod(render(VALUE_SETS["an odd node"]), "agent")["spec"]
    (container,) = spec["containers"]
    assert spec["runtimeClassName"] == "nvidia"
    assert [each["name"] for each in container["env"]] == [
        "NODE_NAME", "CHREK_STATE_ON_NODE", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
        "LD_LIBRARY_PATH", "CHREK_CRIU_BUNDLE", "HOST",
    ]  # fmt: skip
    assert {"name": "bundle", "mountPath": "/bundle"} in container["volumeMounts"]
    assert {"name": "bundle", "hostPath": {"path": "/opt/bundle"}} in spec["volumes"]
    libraries = {"path": "/opt/nvidia/lib64", "type": "DirectoryOrCreate"}
    assert {"name": "driver-libraries", "hostPath": libraries} in spec["volumes"]


@pytest.mark.parametrize(("value", "written"), [("25%", "25%"), (1, 1), ("100%", "100%")])
def test_agents_are_replaced_as_many_at_once_as_was_said(value: object, written: object) -> None:
    objects = render(SIZE, {"agent": {"maxUnavailable": value}})
    (daemon_set,) = (each for each in objects if each["kind"] == "DaemonSet")
    assert daemon_set["spec"]["updateStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": written},
    }


def test_the_agent_has_no_limits_and_tolerates_every_taint() -> None:
    spec = pod(render(SIZE), "agent")["spec"]
    assert "limits" not in spec["containers"][0]["resources"]
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}


def test_a_kubelet_that_keeps_its_files_elsewhere_is_followed() -> None:
    spec = pod(render(SIZE, {"agent": {"kubeletDir": "/data/kubelet"}}), "agent")["spec"]
    assert {"path": "/data/kubelet/seccomp", "type": "DirectoryOrCreate"} in [
        volume.get("hostPath") for volume in spec["volumes"]
    ]


@SETS
def test_every_pod_can_be_found_by_name_and_is_left_alone_by_chrek(values: Values) -> None:
    for component, template in pods(render(values)):
        labels = template["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "chrek"
        assert labels["app.kubernetes.io/instance"] == "chrek"
        assert labels["app.kubernetes.io/component"] == component
        assert labels["chrek.io/component"] == component


@SETS
def test_every_container_is_probed_on_a_port_that_it_names(values: Values) -> None:
    for _, template in pods(render(values)):
        (container,) = template["spec"]["containers"]
        ports = {port["name"] for port in container["ports"]}
        for probe in ("readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] in ports


def test_two_webhooks_stand_on_two_nodes_where_there_are_two() -> None:
    (deployment,) = (each for each in render(SIZE) if each["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    constraints = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in constraints] == [
        "kubernetes.io/hostname", "topology.kubernetes.io/zone",
    ]  # fmt: skip
    for each in constraints:
        assert each["whenUnsatisfiable"] == "ScheduleAnyway"
        assert each["labelSelector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize(
    ("kubernetes", "api_version"),
    [("1.20.2", "policy/v1beta1"), ("1.21.0", "policy/v1"), ("1.37.0", "policy/v1")],
)
def test_a_node_can_always_be_drained(kubernetes: str, api_version: str) -> None:
    objects = render(SIZE, {"webhook": {"replicas": 1}}, kubernetes=kubernetes)
    (budget,) = (each for each in objects if each["kind"] == "PodDisruptionBudget")
    assert budget["apiVersion"] == api_version
    assert budget["spec"]["maxUnavailable"] == 1
    assert "minAvailable" not in budget["spec"]


def test_values_of_pods_arrive_in_pods() -> None:
    for component, template in pods(render(VALUE_SETS["everything about pods"])):
        spec = template["spec"]
        assert template["metadata"]["annotations"] == {"prometheus.io/scrape": "true"}
        assert template["metadata"]["labels"]["team"] == "ml"
        assert spec["priorityClassName"] == "system-cluster-critical"
        assert spec["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "gpu"}
        assert spec["tolerations"][0]["key"] == "gpu", component
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        assert "nodeAffinity" in spec["affinity"]
        assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert spec["containers"][0]["imagePullPolicy"] == "Always"


def test_an_image_is_named_by_version_tag_or_digest() -> None:
    def images(values: Values) -> dict[str, str]:
        objects = render(SIZE, values)
        found = {name: template["spec"]["containers"][0] for name, template in pods(objects)}
        (init,) = (word for word in found["webhook"]["args"] if word.startswith("--init-image="))
        return {name: each["image"] for name, each in found.items()} | {
            "init": init.partition("=")[2]
        }

    assert images({}) == {
        "webhook": "docker.io/chrek/webhook:0.1.0",
        "agent": "docker.io/chrek/agent:0.1.0",
        "init": "docker.io/chrek/init:0.1.0",
    }
    digest = "sha256:" + "0123456789abcdef" * 4
    asked: Values = {
        "images": {
            "webhook": {"tag": "main"},
            "agent": {"repository": "registry.example:5000/agent"},
            "init": {"tag": "ignored", "digest": digest},
        }
    }
    assert images(asked) == {
        "webhook": "docker.io/chrek/webhook:main",
        "agent": "registry.example:5000/agent:0.1.0",
        "init": f"docker.io/chrek/init@{digest}",
    }
