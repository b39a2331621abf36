"""What the chart passes are flags that the programs know, with the values that were asked for."""

from agent.node import flags as agent_flags
from webhook import settings as webhook_settings

from .rendering import SIZE, Values, merged, pod, render


def arguments(component: str, *values: Values, namespace: str = "my-team") -> list[str]:
    (container,) = pod(render(*values, namespace=namespace), component)["spec"]["containers"]
    words: list[str] = container["args"]
    return [word.replace("$(NODE_NAME)", "node-1") for word in words]


def test_one_line_says_what_the_webhook_needs() -> None:
    asked = webhook_settings.parse(arguments("webhook", SIZE))
    assert (asked.namespace, asked.watch_namespace) == ("my-team", "my-team")
    assert asked.service == "chrek-webhook"
    assert asked.secret == "chrek-webhook-tls"
    assert asked.webhook_configuration == "chrek.my-team"
    assert (asked.port, asked.status_port) == (8443, 8080)
    assert asked.certificates == "chrek"
    assert asked.serving_lifetime_seconds == 90 * 86400
    assert asked.ca_lifetime_seconds == 5 * 365 * 86400
    assert asked.options.init_image == "docker.io/chrek/init:0.1.0"
    assert asked.options.sandboxed == ("gvisor", "runsc", "kata", "kata-*")
    assert asked.options.seccomp_profile == ""
    assert asked.options.allow_read_write_once is False
    assert asked.registry_lookup is False
    assert asked.log_level == "info"


def test_every_switch_reaches_the_webhook() -> None:
    asked = webhook_settings.parse(
        arguments(
            "webhook",
            SIZE,
            {
                "watchNamespace": "team-a",
                "logLevel": "debug",
                "seccomp": {"apply": True},
                "storage": {"allowReadWriteOnce": True},
                "webhook": {"registryLookup": True, "sandboxedRuntimeClasses": ["*-vm"]},
                "certificates": {"servingLifetimeSeconds": 60, "caLifetimeSeconds": 600},
            },
            namespace="chrek-system",
        )
    )
    assert (asked.namespace, asked.watch_namespace) == ("chrek-system", "team-a")
    assert asked.log_level == "debug"
    assert asked.options.seccomp_profile == "chrek/no-io-uring.json"
    assert asked.options.allow_read_write_once is True
    assert asked.options.sandboxed == ("*-vm",)
    assert asked.registry_lookup is True
    assert asked.serving_lifetime_seconds == 60
    assert asked.ca_lifetime_seconds == 600
    assert asked.overlap_seconds == 10


def test_for_all_namespaces_none_is_named() -> None:
    everywhere: Values = {"rbac": {"namespaced": False}}
    assert webhook_settings.parse(arguments("webhook", everywhere)).watch_namespace == ""
    assert agent_flags.parse(arguments("agent", everywhere)).watch_namespace == ""


def test_cert_manager_makes_the_certificates() -> None:
    values = merged(SIZE, {"certificates": {"provider": "cert-manager"}})
    assert webhook_settings.parse(arguments("webhook", values)).certificates == "external"


def test_the_agent_is_told_its_node_and_its_namespace() -> None:
    asked = agent_flags.parse(arguments("agent", SIZE, {"watchNamespace": "team-a"}))
    assert asked.node_name == "node-1"
    assert asked.watch_namespace == "team-a"
    assert asked.status_port == 8081
    (container,) = pod(render(SIZE), "agent")["spec"]["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(asked.seccomp_dir) == mounts["seccomp"]
    assert container["env"] == [
        {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    ]
