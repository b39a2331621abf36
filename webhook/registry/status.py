"""What an answer's status says, where it is not what was asked for."""

from webhook.registry.errand import Call, Reply
from webhook.registry.errors import (
    ImageUnknownError,
    RegistryAnswerError,
    RegistryBusyError,
    RegistryUnreachableError,
)

_BROKEN = 500


def check(call: Call, reply: Reply) -> None:
    """Raise RegistryError unless `reply` has what `call` asked for."""
    image, host, status = call.errand.image, reply.url.host, reply.status
    match status:
        case 200:
            return
        case 404:
            raise ImageUnknownError(
                f"{image}: {host} knows no such image (404 for {call.what})",
                hint="Look at its name, and at the pull secrets: some registries hide what they "
                "refuse",
            )
        case 429:
            raise RegistryBusyError(
                f"{image}: {host} limits requests (429 for {call.what})",
                hint="Use a pull secret or a mirror, or write `command` in the pod",
            )
        case _ if status >= _BROKEN:
            raise RegistryUnreachableError(
                f"{image}: {host} is broken ({status} for {call.what})",
                hint="Look at the registry's log",
            )
    raise RegistryAnswerError(
        f"{image}: {host} answered {status} for {call.what}",
        hint="Look whether this host is a registry",
    )
