import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from webhook.registry.credentials import Credential, Keyring, keyring
from webhook.registry.errors import PullSecretError, RegistryTimeoutError
from webhook.registry.pullsecrets import pull_keyring


def secret(auths: Mapping[str, Any], name: str = "pull", *, legacy: bool = False) -> dict[str, Any]:
    """A Secret as the API gives it."""
    value = auths if legacy else {"auths": auths}
    return raw_secret(json.dumps(value).encode(), name, legacy=legacy)


def raw_secret(text: bytes, name: str = "pull", *, legacy: bool = False) -> dict[str, Any]:
    kind = "dockercfg" if legacy else "dockerconfigjson"
    data = {f".{kind}": base64.b64encode(text).decode()}
    return {"metadata": {"name": name}, "type": f"kubernetes.io/{kind}", "data": data}


def entry(user: str, password: str = "pass") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def users(ring: Keyring, name: str) -> list[str]:
    return [credential.username for credential in ring.lookup(name)]


@pytest.mark.parametrize(
    ("key", "name", "fits"),
    [
        ("example.com", "example.com/a", True),
        ("example.com", "example.com/a/b", True),
        ("https://example.com", "example.com/a", True),
        ("http://example.com", "example.com/a", True),
        ("https://example.com/v1/", "example.com/a", True),
        ("https://example.com/v2/", "example.com/a", True),
        ("https://example.com/v2/a", "example.com/a/b", True),
        ("https://example.com/v1", "example.com/a", False),
        ("example.com/", "example.com/a", True),
        ("example.com/a", "example.com/a/b", True),
        ("example.com/a", "example.com/ab", True),
        ("example.com/a/b", "example.com/a", False),
        ("example.com", "example.com:5000/a", False),
        ("example.com:5000", "example.com:5000/a", True),
        ("example.com:5000", "example.com/a", False),
        ("example.com:5000", "example.com:5001/a", False),
        ("*.example.com", "a.example.com/x", True),
        ("*.example.com", "example.com/x", False),
        ("*.example.com", "a.b.example.com/x", False),
        ("*.*.example.com", "a.b.example.com/x", True),
        ("app*.example.com", "app7.example.com/x", True),
        ("app?.example.com", "app7.example.com/x", False),
        ("app[0-3].example.com", "app2.example.com/x", True),
        ("app[^0-3].example.com", "app2.example.com/x", False),
        ("app[^0-3].example.com", "app5.example.com/x", True),
        ("*", "localhost/x", True),
        ("*.com", "example.com/x", True),
        ("example.*", "example.com/x", True),
        ("example.com/*", "example.com/x", False),
        ("example.com:*", "example.com:5000/x", False),
        ("*.example.com:5000/a", "x.example.com:5000/a/b", True),
        ("evil.com", "example.com/x", False),
        ("example.com.evil.com", "example.com/x", False),
        ("xample.com", "example.com/x", False),
        ("user@example.com", "example.com/x", True),
        ("example.com?x", "example.com/x", True),
        ("[::1]:5000", "[::1]:5000/x", True),
        ("https://index.docker.io/v1/", "docker.io/library/nginx", True),
        ("index.docker.io", "docker.io/a/b", True),
        ("docker.io", "docker.io/a/b", True),
        ("https://index.docker.io/v1/", "example.com/a", False),
        ("https://index.docker.io/v1/", "localhost/a", False),
        ("", "example.com/a", False),
        ("\\*.com", "example.com/a", False),
    ],
)
def test_a_key_fits_as_it_does_for_kubelet(key: str, name: str, fits: bool) -> None:
    assert users(keyring([secret({key: entry("me")})]), name) == (["me"] if fits else [])


def test_more_specific_keys_come_first_and_all_that_fit_are_given() -> None:
    ring = keyring(
        [
            secret({"*.example.com": entry("glob"), "a.example.com": entry("host")}),
            secret({"a.example.com/team": entry("team"), "b.example.com": entry("other")}),
            secret({"a.example.com": entry("host2")}),
        ]
    )
    assert users(ring, "a.example.com/team/app") == ["team", "host", "host2", "glob"]
    assert users(ring, "a.example.com/app") == ["host", "host2", "glob"]


def test_docker_hubs_old_key_is_used_only_when_no_other_fits() -> None:
    old = {"https://index.docker.io/v1/": entry("old")}
    assert users(keyring([secret(old | {"docker.io": entry("new")})]), "docker.io/a/b") == ["new"]


def test_a_credential_is_given_once() -> None:
    ring = keyring(
        [secret({"example.com": entry("me")}), secret({"https://example.com": entry("me")})]
    )
    assert users(ring, "example.com/a") == ["me"]


@pytest.mark.parametrize(
    "given",
    [
        entry("me", "pass"),
        {"username": "me", "password": "pass"},
        {"username": "not me", "password": "old"} | entry("me", "pass"),
        {"auth": base64.b64encode(b"me:pass").decode().rstrip("=")},
        {"auth": base64.b64encode(b"me:pass\0\0").decode()},
        {"auth": base64.b64encode(b"me:pass").decode() + "\n"},
        {"auth": "", "username": "me", "password": "pass", "email": "a@b", "unknown": [1]},
    ],
)
def test_every_way_to_write_a_credential_is_read(given: dict[str, Any]) -> None:
    ring = keyring([secret({"example.com": given})])
    assert ring.lookup("example.com/a") == (Credential("me", "pass"),)


def test_a_password_may_have_colons_and_any_letters() -> None:
    ring = keyring([secret({"example.com": entry("me", "a:b:ö✓")})])
    assert ring.lookup("example.com/a") == (Credential("me", "a:b:ö✓"),)


def test_the_legacy_kind_is_read_and_other_kinds_are_passed_over() -> None:
    other = {"metadata": {"name": "x"}, "type": "Opaque", "data": {".dockercfg": "e30="}}
    ring = keyring([other, secret({"example.com": entry("me")}, legacy=True), {"type": None}])
    assert users(ring, "example.com/a") == ["me"]


def test_an_entry_without_a_password_shows_nothing() -> None:
    ring = keyring([secret({"example.com": {}, "example.org": None})])
    assert ring.lookup("example.com/a") == ()


@pytest.mark.parametrize(
    "text",
    [
        b"hunter2",
        b'{"auths": [1]}',
        b'{"auths": {"example.com": {"auth": "hunter2!"}}}',
        b'{"auths": {"example.com": {"auth": "' + base64.b64encode(b"hunter2") + b'"}}}',
        b'{"auths": {"example.com": {"auth": "' + base64.b64encode(b"\xff:\xff") + b'"}}}',
        b'{"auths": {"example.com": {"password": 7}}}',
        b"[" * 100_000,
        b'{"auths": ' + b'{"a":' * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_damaged_secret_is_named_and_its_content_is_not(text: bytes) -> None:
    with pytest.raises(PullSecretError) as caught:
        keyring([raw_secret(text, "mine")])
    assert "'mine'" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_secret_that_is_not_base64_is_damaged() -> None:
    damaged = secret({})
    damaged["data"][".dockerconfigjson"] = "!!!"
    with pytest.raises(PullSecretError):
        keyring([damaged])


def test_no_secret_shows_in_what_python_prints() -> None:
    ring = keyring([secret({"example.com": entry("robot", "hunter2")})])
    assert "hunter2" not in f"{ring!r} {ring.lookup('example.com/a')}"
    assert "robot" not in repr(ring)


class Objects:
    """An API server with these objects."""

    def __init__(self, secrets: dict[str, Any], account: dict[str, Any] | None = None) -> None:
        self.secrets, self.account = secrets, account
        self.read: list[str] = []
        self.silent = False

    async def secret(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        self.read.append(f"{namespace}/{name}")
        if self.silent:
            await asyncio.Event().wait()
        return self.secrets.get(name)

    async def service_account(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        self.read.append(f"{namespace}/serviceaccount/{name}")
        return self.account


def pod(*names: str, account: str | None = None) -> dict[str, Any]:
    return {
        "spec": {
            "imagePullSecrets": [{"name": name} for name in names],
            "serviceAccountName": account,
        }
    }


SECRETS = {"a": secret({"example.com": entry("a")}), "b": secret({"example.com": entry("b")})}


async def test_a_pods_own_secrets_are_used_in_their_order_and_its_accounts_are_not() -> None:
    objects = Objects(SECRETS, {"imagePullSecrets": [{"name": "a"}]})
    ring = await pull_keyring(pod("b", "gone", "b"), "ns", objects)
    assert users(ring, "example.com/x") == ["b"]
    assert objects.read == ["ns/b", "ns/gone"]


async def test_a_pod_without_secrets_has_its_accounts() -> None:
    objects = Objects(SECRETS, {"imagePullSecrets": [{"name": "a"}, {}]})
    ring = await pull_keyring(pod(account="worker"), "ns", objects)
    assert users(ring, "example.com/x") == ["a"]
    assert objects.read == ["ns/serviceaccount/worker", "ns/a"]


@pytest.mark.parametrize("bare", [{}, {"spec": None}, {"spec": {}}])
async def test_a_pod_without_anything_has_the_default_accounts(bare: dict[str, Any]) -> None:
    objects = Objects(SECRETS)
    assert await pull_keyring(bare, "ns", objects) == Keyring()
    assert objects.read == ["ns/serviceaccount/default"]


async def test_a_thousand_secrets_are_not_read() -> None:
    objects = Objects(SECRETS)
    await pull_keyring(pod(*map(str, range(1000))), "ns", objects)
    assert len(objects.read) == 16


async def test_a_silent_api_server_ends_the_lookup() -> None:
    objects = Objects(SECRETS)
    objects.silent = True
    with pytest.raises(RegistryTimeoutError):
        await pull_keyring(pod("a"), "ns", objects, deadline_seconds=0.01)
