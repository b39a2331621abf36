"""`python -m certs`: the certificates on their own, in a cluster or in a directory."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from certs.clock import SystemClock
from certs.directory import DirectorySecrets
from certs.errors import CertsError, UnreachableError
from certs.keeper import Keeper
from certs.pair import KeyPair
from certs.parser import checked, parser, settings
from certs.places import NoConfigurations, Secrets, WebhookConfigurations
from certs.shown import shown
from chrek import logs
from chrek.errors import ChrekError, MachineError, UsageError

_FAILED: Final = 1
_USAGE: Final = 2
_UNABLE: Final = 3
_INTERRUPTED: Final = 130

_LABELS: Final = {"app.kubernetes.io/managed-by": "chrek"}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; its exit code (see `python -m certs --help`)."""
    asked = parser().parse_args(arguments)
    ends = asked.once or asked.print or asked.directory
    logs.set_up(logging.INFO if asked.verbose or not ends else logging.WARNING)
    try:
        return asyncio.run(_interruptible(checked(asked)))
    except asyncio.CancelledError:
        return _INTERRUPTED if ends else 0  # that is how the keeper is stopped
    except ChrekError as error:
        sys.stderr.write(f"certs: {error} ({error.reason})\n")
        return _exit_code(error)


def _exit_code(error: ChrekError) -> int:
    if isinstance(error, UsageError):
        return _USAGE
    unable = isinstance(error, MachineError | UnreachableError) or error.reason == "NoCluster"
    return _UNABLE if unable else _FAILED


async def _interruptible(asked: argparse.Namespace) -> int:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with _places(asked) as (secrets, configurations):
        if asked.print:
            return await _print(secrets, configurations)
        keeper = Keeper(settings(asked), secrets, configurations, SystemClock(), _ignore)
        if asked.once or asked.directory:
            await keeper.once()
            return 0
        return await keeper.run()


@asynccontextmanager
async def _places(
    asked: argparse.Namespace,
) -> AsyncIterator[tuple[Secrets, WebhookConfigurations]]:
    if asked.directory:
        yield DirectorySecrets(asked.directory), NoConfigurations()
        return
    # Imported late: without a cluster nothing waits for its client.
    from certs.cluster import ClusterSecrets, ClusterWebhookConfigurations  # noqa: PLC0415
    from chrek.kube.api import connected  # noqa: PLC0415

    async with connected() as api:
        configurations: WebhookConfigurations = NoConfigurations()
        if asked.webhook_configuration:
            configurations = ClusterWebhookConfigurations(api, asked.webhook_configuration)
        yield ClusterSecrets(api, asked.namespace, asked.secret, labels=_LABELS), configurations


async def _print(secrets: Secrets, configurations: WebhookConfigurations) -> int:
    place = await secrets.read()
    if place.secret is None:
        raise CertsError(f"{secrets.name} is missing")
    seen = await configurations.read()
    lines = shown(place.secret.content, seen.configuration, SystemClock().now())
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _ignore(_pair: KeyPair) -> None:
    """Nobody serves here."""


if __name__ == "__main__":
    sys.exit(main())
