"""Answering a registry's challenge: Basic, or Bearer with a token fetched from its realm.

The realm is the registry's word: like containerd, the credential for the registry is shown to it.
It is asked under the same rules as a redirect (places.py), and never for more than pulling.
"""

import base64
import re

import msgspec
from yarl import URL

from webhook.registry import challenge, urls
from webhook.registry.challenge import Challenge
from webhook.registry.credentials import Credential
from webhook.registry.errand import Call, Errand, Reply
from webhook.registry.errors import RegistryAnswerError, RegistryDeniedError
from webhook.registry.places import check_redirect
from webhook.registry.status import check
from webhook.registry.transport import Transport

_SERVICE_CHARACTERS = 1024
_SCOPES = 4
_SCOPE = re.compile(r"repository:([a-z0-9._/-]{1,255}):\S+")
_TOKEN = re.compile(r"[\x21-\x7e]+")


class _Token(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None


async def authorization(
    transport: Transport, call: Call, reply: Reply, credential: Credential | None, token_bytes: int
) -> str:
    """The Authorization header that `reply`, a 401 to `call`, asks for; raises RegistryError."""
    challenges = {
        found.scheme: found
        for found in reversed(challenge.parse(reply.headers.getall("WWW-Authenticate", [])))
    }
    if (bearer := challenges.get("bearer")) is not None:
        token = await _token(
            transport, call.errand, reply.url, bearer, credential, token_bytes=token_bytes
        )
        return f"Bearer {token}"
    if "basic" not in challenges:
        raise RegistryAnswerError(
            f"{call.errand.image}: {reply.url.host} wants neither Basic nor Bearer authorization",
            hint="Look at the registry's authentication settings",
        )
    if credential is None:
        raise denied(call.errand, reply.url, credential)
    return _basic(credential)


def denied(errand: Errand, url: URL, credential: Credential | None) -> RegistryDeniedError:
    """What is said when `url` refuses `credential`."""
    if credential is None:
        return RegistryDeniedError(
            f"{errand.image}: {url.host} shows it to nobody without a password",
            hint=f"Name a pull secret for {errand.image.domain} in imagePullSecrets",
        )
    return RegistryDeniedError(
        f"{errand.image}: {url.host} refuses the pull secret's credential",
        hint=f"Look at the pull secrets for {errand.image.domain}",
    )


async def _token(
    transport: Transport,
    errand: Errand,
    registry: URL,
    bearer: Challenge,
    credential: Credential | None,
    *,
    token_bytes: int,
) -> str:
    realm = urls.target(bearer.parameters.get("realm", ""))
    if realm is None:
        raise RegistryAnswerError(
            f"{errand.image}: {registry.host} names no address of a token server",
            hint="Look at the registry's authentication settings",
        )
    check_redirect(errand, registry, realm)
    call = Call(
        errand,
        _question(realm, errand, bearer),
        what="a token",
        limit_bytes=token_bytes,
        authorization=None if credential is None else _basic(credential),
    )
    reply = await transport.fetch(call)
    if reply.status in (400, 401, 403):
        raise denied(errand, reply.url, credential)
    check(call, reply)
    try:
        answer = msgspec.json.decode(reply.body, type=_Token)
        token = answer.token or answer.access_token or ""
    except (msgspec.MsgspecError, ValueError, RecursionError):
        token = ""
    if not _TOKEN.fullmatch(token):
        raise RegistryAnswerError(
            f"{errand.image}: {reply.url.host} answers without a token",
            hint="Look at the registry's token server",
        )
    return token


def _question(realm: URL, errand: Errand, bearer: Challenge) -> URL:
    """The realm with service and scopes: pulling this repository, and pulling what the registry
    calls it, as some that serve several under one host name do."""
    scopes = [f"repository:{errand.image.path}:pull"]
    for scope in bearer.parameters.get("scope", "").split():
        if match := _SCOPE.fullmatch(scope):
            scopes.append(f"repository:{match[1]}:pull")
    query = list(realm.query.items())
    if service := bearer.parameters.get("service", "")[:_SERVICE_CHARACTERS]:
        query.append(("service", service))
    return realm.with_query(
        [*query, *(("scope", scope) for scope in list(dict.fromkeys(scopes))[:_SCOPES])]
    )


def _basic(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"
