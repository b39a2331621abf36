"""The entry point: parse, run one command, turn errors into one sentence and an exit code."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from chrek import logs
from chrek.cli import output
from chrek.cli.parser import parser
from chrek.errors import ChrekError, MachineError, UsageError

_FAILED: Final = 1
_USAGE: Final = 2
_UNABLE: Final = 3
_INTERRUPTED: Final = 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; its exit code (see `chrek --help`)."""
    asked = parser().parse_args(arguments)
    logs.set_up((logging.WARNING, logging.INFO, logging.DEBUG)[min(asked.verbose, 2)])
    try:
        return asyncio.run(_interruptible(asked))
    except asyncio.CancelledError:
        if asked.command != "logs":
            print("chrek: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except ChrekError as error:
        output.problem(error)
        return _exit_code(error)
    except BrokenPipeError:
        return _FAILED  # whoever read our output has gone
    except Exception as error:
        if asked.verbose:
            raise
        print(f"chrek: failed: {error!r}; -v shows where", file=sys.stderr)
        return _FAILED


def _exit_code(error: ChrekError) -> int:
    if isinstance(error, UsageError):
        return _USAGE
    return _UNABLE if isinstance(error, MachineError) else _FAILED


async def _interruptible(asked: argparse.Namespace) -> int:
    """SIGINT and SIGTERM cancel the command, which undoes what it has begun."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await _command(asked)


async def _command(asked: argparse.Namespace) -> int:
    # Imported late: `chrek --help` and a wrong option answer at once, on any system.
    from chrek.cli import check, running, stored  # noqa: PLC0415
    from chrek.cli.machine import Machine, open_machine  # noqa: PLC0415

    if asked.command == "check":
        return await check.check(asked)
    commands: dict[str, Callable[[Machine, argparse.Namespace], Awaitable[int]]] = {
        "run": running.run,
        "ps": running.ps,
        "logs": running.logs,
        "stop": running.stop,
        "checkpoint": stored.checkpoint,
        "restore": stored.restore_command,
        "ls": stored.ls,
        "inspect": stored.inspect,
        "verify": stored.verify,
        "rm": stored.rm,
    }
    machine = open_machine(asked.root)
    await machine.tidy()
    return await commands[asked.command](machine, asked)


if __name__ == "__main__":
    sys.exit(main())
