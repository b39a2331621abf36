"""When two containers have the same environment, as far as ConfigMaps and Secrets made it."""

from typing import Any

import pytest

from agent.plan.environment import environment_hash
from chrek.pods import names

from ..pods.making import container
from .making import viewed

SOURCES = {"envFrom": [{"configMapRef": {"name": "settings"}}]}
SECRET = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
OWN = ["PATH=/bin", "HOSTNAME=web-1", "PLAIN=1"]
IMAGE = ["PATH=/bin", "LANG=C"]
LINKS = [
    "REDIS_SERVICE_HOST=10.0.0.1", "REDIS_SERVICE_PORT=6379", "REDIS_SERVICE_PORT_MAIN=6379",
    "REDIS_PORT=tcp://10.0.0.1:6379", "REDIS_PORT_6379_TCP=tcp://10.0.0.1:6379",
    "REDIS_PORT_6379_TCP_PROTO=tcp", "REDIS_PORT_6379_TCP_PORT=6379",
    "REDIS_PORT_6379_TCP_ADDR=10.0.0.1",
]  # fmt: skip


def hashed(*values: str, image: list[str] = IMAGE, **more: Any) -> str:
    members = {key: more.pop(key) for key in ("env", "envFrom") if key in more}
    found = viewed(container(**members), **more)
    return environment_hash(found, [*OWN, *values], image)


def test_a_pod_that_takes_nothing_from_elsewhere_has_none() -> None:
    assert hashed("X=1", env=[{"name": "PLAIN", "value": "1"}]) == ""


def test_a_hash_is_16_hex_characters_and_always_the_same() -> None:
    found = hashed("TOKEN=t", env=[SECRET])
    assert len(bytes.fromhex(found)) == 8
    assert found == hashed("TOKEN=t", env=[SECRET])


def test_another_value_is_another_environment() -> None:
    assert hashed("TOKEN=t", env=[SECRET]) != hashed("TOKEN=u", env=[SECRET])
    assert hashed("X=1", **SOURCES) != hashed("X=2", **SOURCES)


def test_a_key_that_is_gone_is_another_environment() -> None:
    assert hashed(env=[SECRET]) not in ("", hashed("TOKEN=", env=[SECRET]))
    assert hashed("X=1", "Y=1", **SOURCES) != hashed("X=1", **SOURCES)


def test_the_order_does_not_matter() -> None:
    assert hashed("X=1", "Y=2", **SOURCES) == hashed("Y=2", "X=1", **SOURCES)


def test_without_env_from_only_what_is_named_counts() -> None:
    assert hashed("TOKEN=t", "X=1", env=[SECRET]) == hashed("TOKEN=t", "X=2", env=[SECRET])


@pytest.mark.parametrize(
    "entry",
    [
        "HOSTNAME=another", "PATH=/elsewhere", "LANG=C",
        "NVIDIA_VISIBLE_DEVICES=GPU-1", "PCIDEVICE_NVIDIA_COM_X=0000:00:01.0",
        "KUBERNETES_SERVICE_HOST=10.96.0.1",
    ],
)  # fmt: skip
def test_what_has_another_origin_does_not_count(entry: str) -> None:
    kubernetes = ["KUBERNETES_SERVICE_PORT=443", "KUBERNETES_PORT=tcp://10.96.0.1:443"]
    there = [*kubernetes, *(["KUBERNETES_SERVICE_HOST=1"] if "KUBERNETES" in entry else [])]
    assert hashed("X=1", entry, *kubernetes, **SOURCES) == hashed("X=1", *there, **SOURCES)


def test_a_service_that_comes_or_goes_does_not_count() -> None:
    assert hashed("X=1", *LINKS, **SOURCES) == hashed("X=1", **SOURCES)


def test_a_key_that_is_only_named_as_a_service_counts() -> None:
    assert hashed("REDIS_PORT=6379", **SOURCES) != hashed("REDIS_PORT=6380", **SOURCES)
    assert hashed("DB_SERVICE_HOST=a", **SOURCES) != hashed("DB_SERVICE_HOST=b", **SOURCES)


def test_without_service_links_such_variables_are_of_a_config_map() -> None:
    more: dict[str, Any] = {**SOURCES, "enableServiceLinks": False}
    assert hashed(*LINKS, **more) != hashed(*LINKS[1:], **more)


def test_a_value_that_replaces_the_images_own_counts() -> None:
    assert hashed("LANG=de", **SOURCES) != hashed("LANG=C", **SOURCES)


def test_what_the_pod_itself_says_is_admissions_to_compare() -> None:
    env = [
        {"name": "A", "value": "$(X)"},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    first = hashed("X=1", "A=1", "IP=10.0.0.1", env=env, **SOURCES)
    assert first == hashed("X=1", "A=2", "IP=10.0.0.2", env=env, **SOURCES)


def test_what_the_user_says_to_ignore_is_ignored() -> None:
    ignoring = {"annotations": {names.IGNORE_ENV: "RUN_ID"}}
    first = hashed("RUN_ID=1", "X=1", **SOURCES, **ignoring)
    assert first == hashed("RUN_ID=2", "X=1", **SOURCES, **ignoring)


def test_the_same_secret_of_another_pod_has_another_hash() -> None:
    first = environment_hash(viewed(container(env=[SECRET])), ["TOKEN=t"], [])
    other = environment_hash(viewed(container(env=[SECRET], args=["x"])), ["TOKEN=t"], [])
    assert first != other
