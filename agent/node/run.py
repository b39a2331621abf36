"""The agent's life: one task group, ended by SIGTERM."""

import asyncio
import logging
import os
import signal
from pathlib import Path

import chrek
from agent.metrics import Metrics
from agent.node import flags, profile, questions
from agent.node.flags import Flags
from agent.node.profile import ProfileError
from agent.node.questions import QuestionsError
from agent.node.status import Status, served
from agent.node.work import work
from chrek import logs
from chrek.errors import ChrekError

_log = logging.getLogger("chrek.agent")
_LOOK_AGAIN_SECONDS = 15.0
_RETRY_SECONDS = 2.0


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; 0 then, 1 if it cannot run, 2 for nonsense."""
    asked = flags.parse(arguments)
    logs.set_up(asked.log_level)
    os.umask(0o022)
    try:
        asyncio.run(run(asked))
    except ChrekError as error:
        logs.event(_log, logging.ERROR, error.reason, problem=error)
        return 1
    return 0


async def run(asked: Flags) -> None:
    """Serve and prepare the node until a signal; raises ChrekError if that cannot begin."""
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    status = Status(asked)
    metrics = Metrics()
    async with served(status, metrics) as port:
        _say_what_this_is(asked, port)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(keep_profile(asked.seccomp_dir, status)),
                group.create_task(tell_answers(status)),
                group.create_task(work(asked, status, metrics)),
            ]
            await end.wait()
            status.ending = True
            logs.event(_log, logging.INFO, "ending")
            for task in tasks:
                task.cancel()


def _say_what_this_is(asked: Flags, port: int) -> None:
    logs.event(
        _log,
        logging.INFO,
        "started",
        version=chrek.__version__,
        node=asked.node_name,
        watches=asked.watch_namespace or "every labelled namespace",
        status_port=port,
    )


async def keep_profile(
    seccomp_dir: Path, status: Status, look_again_seconds: float = _LOOK_AGAIN_SECONDS
) -> None:
    """Have the seccomp profile in place, always: nodes are cleaned and rebuilt under us."""
    while True:
        wait_seconds = look_again_seconds
        try:
            written = await asyncio.to_thread(profile.install, seccomp_dir)
        except ProfileError as error:
            if status.profile_problem != str(error):
                status.profile_problem = str(error)
                logs.event(_log, logging.WARNING, error.reason, problem=error)
            wait_seconds = _RETRY_SECONDS
        else:
            if written or status.profile_problem:
                path = seccomp_dir / profile.NAME
                logs.event(_log, logging.INFO, "profile-installed", path=path, written=written)
            status.profile_problem = ""
        await asyncio.sleep(wait_seconds)


async def tell_answers(status: Status) -> None:
    """Ask the node once what it is able to do, and log each answer."""
    try:
        status.answers = await questions.ask()
    except QuestionsError as error:
        logs.event(_log, logging.WARNING, error.reason, problem=error)
        return
    for answer in status.answers:
        level = logging.WARNING if answer.verdict == "no" else logging.INFO
        fields = {"answer": answer.verdict, "found": answer.found}
        if answer.cure:
            fields["cure"] = answer.cure
        logs.event(_log, level, "asked", question=answer.question, **fields)
