"""Which credentials of pull secrets are for which image: kubelet's rules (credentialprovider).

A key names a registry, its host perhaps with globs in single labels (`*.example.com`), perhaps
with a port, which must then be the image's, and a path, which must begin the repository's. More
specific keys come first; every credential that fits is tried.
"""

import base64
import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import msgspec

from webhook.registry.errors import PullSecretError

_JSON = ("kubernetes.io/dockerconfigjson", ".dockerconfigjson")
_LEGACY = ("kubernetes.io/dockercfg", ".dockercfg")
_HUB_KEY = "index.docker.io"
_HUB_DOMAIN = "docker.io"
_HOST_PORT = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<host>[^:\[\]]*)):(?P<port>[^:]*)")


@dataclass(frozen=True, slots=True)
class Credential:
    """What a registry is shown. Both stay out of any log: user names can be tokens too."""

    username: str = field(repr=False)
    password: str = field(repr=False)


class _Entry(msgspec.Struct):
    username: str | None = None
    password: str | None = None
    auth: str | None = None


class _Config(msgspec.Struct):
    auths: dict[str, _Entry | None] | None = None


@dataclass(frozen=True, slots=True)
class Keyring:
    """keys: registry (host, perhaps path) and credential, in the order of the secrets."""

    keys: tuple[tuple[str, Credential], ...] = ()

    def lookup(self, name: str) -> tuple[Credential, ...]:
        """Credentials for the repository `name` (`Reference.name`), best first, each once."""
        ordered = sorted(self.keys, key=lambda key: key[0], reverse=True)
        found = [credential for key, credential in ordered if _matches(key, name)]
        if not found and name.partition("/")[0] == _HUB_DOMAIN:
            found = [credential for key, credential in ordered if key == _HUB_KEY]
        # Without a password it shows nothing, as none does.
        return tuple(dict.fromkeys(each for each in found if each.password))


def keyring(secrets: Iterable[Mapping[str, Any]]) -> Keyring:
    """The keyring of Secret objects as the API gives them (`data` in base64).

    Secrets of other types are passed over; raises PullSecretError for one that is damaged.
    """
    keys: list[tuple[str, Credential]] = []
    for secret in secrets:
        name = str((secret.get("metadata") or {}).get("name", "?"))
        try:
            keys += [
                (_key(registry), _credential(entry)) for registry, entry in _entries(secret).items()
            ]
        # The decoders' own messages quote what they read: they go no further.
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            raise PullSecretError(
                f"pull secret {name!r} cannot be read",
                hint=f"Make it anew: kubectl create secret docker-registry {name}",
            ) from None
    return Keyring(tuple(keys))


def _entries(secret: Mapping[str, Any]) -> dict[str, _Entry | None]:
    data = secret.get("data") or {}
    for kind, name in (_JSON, _LEGACY):
        if secret.get("type") == kind and data.get(name):
            text = base64.b64decode(data[name], validate=True)
            if name == _LEGACY[1]:
                return msgspec.json.decode(text, type=dict[str, _Entry | None])
            return msgspec.json.decode(text, type=_Config).auths or {}
    return {}


def _credential(entry: _Entry | None) -> Credential:
    if entry is None:
        return Credential("", "")
    if not entry.auth:
        return Credential(entry.username or "", entry.password or "")
    packed = "".join(entry.auth.split()).rstrip("=")
    decoded = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode()
    username, colon, password = decoded.partition(":")
    if not colon:
        raise ValueError
    return Credential(username, password.strip("\0"))


def _key(registry: str) -> str:
    """`https://index.docker.io/v1/` is `index.docker.io`: old clients wrote the API's path."""
    for scheme in ("https://", "http://"):
        if registry.startswith(scheme):
            registry = registry.removeprefix(scheme)
            break
    host, slash, path = re.split("[?#]", registry, maxsplit=1)[0].partition("/")
    path = unquote(slash + path)
    if path.startswith(("/v1/", "/v2/")):
        path = path[3:]
    return host.rpartition("@")[2] + ("" if path == "/" else path)


def _matches(key: str, name: str) -> bool:
    key_host, key_slash, key_path = key.partition("/")
    host, slash, path = name.partition("/")
    key_labels, key_port = _labels(key_host)
    labels, port = _labels(host)
    return (
        key_port == port
        and len(key_labels) == len(labels)
        and (slash + path).startswith(key_slash + key_path)
        and all(map(_label_matches, key_labels, labels))
    )


def _labels(host: str) -> tuple[list[str], str]:
    match = _HOST_PORT.fullmatch(host)
    if match is None:
        return host.split("."), ""
    return (match["six"] or match["host"] or "").split("."), match["port"]


def _label_matches(pattern: str, label: str) -> bool:
    # Go negates a class with ^ and escapes with \, which a host name never needs.
    return "\\" not in pattern and fnmatch.fnmatchcase(label, pattern.replace("[^", "[!"))
