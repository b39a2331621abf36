"""What the chart passes are flags that the programs know, with the values that were asked for."""

import functools
import re
from pathlib import Path

import pytest
import yaml

from agent.node import flags as agent_flags
from agent.node import work
from webhook import settings as webhook_settings

from .rendering import CHART, REPOSITORY, SIZE, Values, merged, pod, render
from .value_sets import VALUE_SETS


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


def test_the_agent_is_told_its_node_and_its_namespaces() -> None:
    asked = agent_flags.parse(
        arguments("agent", SIZE, {"watchNamespace": "team-a"}, namespace="chrek-system")
    )
    assert asked.node_name == "node-1"
    assert asked.watch_namespace == "team-a"
    assert asked.release_namespace == "chrek-system"
    assert asked.signing_secret == "chrek-signing"
    assert asked.status_port == 8081
    (container,) = pod(render(SIZE), "agent")["spec"]["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(asked.cache.path) == mounts["node-cache"]
    assert str(asked.seccomp_dir) == mounts["seccomp"]
    assert container["env"][0] == {
        "name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}},
    }  # fmt: skip


def test_one_line_leaves_the_agent_its_defaults() -> None:
    words = arguments("agent", SIZE)
    needed = ("--node-name", "--release-namespace", "--signing-secret", "--seccomp-dir",
              "--init-image", "--watch-namespace")  # fmt: skip
    only_needed = [word for word in words if word.startswith(needed)]
    assert len(only_needed) == len(needed)
    assert agent_flags.parse(words) == agent_flags.parse(only_needed)


def test_every_switch_reaches_the_agent() -> None:
    asked = agent_flags.parse(arguments("agent", VALUE_SETS["an odd node"]))
    assert asked.cri_socket == Path("/var/snap/microk8s/common/run/containerd.sock")
    assert asked.signing_secret == "company.keys"
    assert asked.sandboxed == ("enclave-*", "*-vm")
    assert asked.work == agent_flags.Work(
        restores=4, captures=2, idle_wait_seconds=5, files_limit_bytes=512 << 20
    )
    assert asked.cache.size_bytes == 3 << 39
    assert asked.retention == agent_flags.Retention(
        keep=5, claim_bytes=3 << 39, init_image="docker.io/chrek/init:0.1.0"
    )


def test_extra_environment_reaches_the_agents_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {"CHREK_HUGE_PAGES": "always", "CHREK_PAGE_THREADS": "3"}
    extra = [{"name": name, "value": value} for name, value in chosen.items()]
    values: Values = {"agent": {"extraEnv": extra, "filesLimit": "512Mi"}}
    (container,) = pod(render(SIZE, values), "agent")["spec"]["containers"]
    for each in container["env"]:
        if "value" in each:
            monkeypatch.setenv(each["name"], each["value"])
    settings = work._settings(agent_flags.parse(arguments("agent", SIZE, values)))
    assert settings.huge_pages is True
    assert settings.page_threads == 3
    assert settings.files_limit_bytes == 512 << 20
    assert settings.shown_root == Path("/var/lib/chrek/chrek.my-team")


def test_every_flag_of_the_agent_is_in_the_table_of_settings_with_its_value() -> None:
    text = (REPOSITORY / "docs" / "settings.md").read_text()
    table = dict(re.findall(r"^\| `--([a-z-]+)` \| (?:`([\w.]+)` )?\|", text, re.MULTILINE))
    passed = {
        word.removeprefix("--").partition("=")[0]
        for word in arguments("agent", VALUE_SETS["an odd node"])
    }
    assert table.keys() == passed
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for value in filter(None, table.values()):
        functools.reduce(lambda below, key: below[key], value.split("."), values)


def test_both_leave_the_same_runtime_classes_alone() -> None:
    values: Values = {"webhook": {"sandboxedRuntimeClasses": ["*-vm", "enclave.?"]}}
    of_webhook = webhook_settings.parse(arguments("webhook", SIZE, values)).options.sandboxed
    of_agent = agent_flags.parse(arguments("agent", SIZE, values)).sandboxed
    assert of_webhook == of_agent == ("*-vm", "enclave.?")


def test_both_inject_the_same_init_image() -> None:
    values = {"images": {"init": {"repository": "registry.example:5000/a/init", "tag": "7"}}}
    (of_agent,) = (w for w in arguments("agent", SIZE, values) if w.startswith("--init-image"))
    assert of_agent in arguments("webhook", SIZE, values)
    assert of_agent.endswith("registry.example:5000/a/init:7")
