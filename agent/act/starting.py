"""What a container that has just started does: it is restored, or runs its command."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from agent.act import facts, learning, restoring
from agent.act.life import Life, Running
from agent.act.node import Node
from agent.init import words
from agent.plan import start as plan
from agent.plan.checkpoint import CheckpointView
from agent.plan.pod import PodView
from agent.plan.start import Cold, Done, Restore
from agent.runtime.cri.model import Container
from chrek.errors import ChrekError, NoAnswerError, NotWrappedError, TargetGoneError
from chrek.logs import event
from chrek.pods import names

_log = logging.getLogger("chrek.start")

_ANOTHER_AGENT_SECONDS: Final = 1.0
_SHORT_LIFE_SECONDS: Final = 30.0
"""A restored process that ends so soon was not worth its restore."""
_BEGINS_SECONDS: Final = 15.0
"""For a moment the runtime itself is PID 1; on a busy node for a long one."""
_MESSAGE: Final = 900
_ALONE: Final = "StartedAlone"
_INTERRUPTED: Final = "AgentEnded"
_LATE_SECONDS: Final = 1.0
"""The webhook's watch may be ahead of ours by so much."""


@dataclass(frozen=True, slots=True)
class _Start:
    """One start of a container that waits for a word."""

    node: Node
    pod: PodView
    container: Container
    life: Life
    running: Running

    def say(self, what: str, **more: object) -> None:
        event(
            _log, logging.INFO, what,
            pod=f"{self.pod.namespace}/{self.pod.name}", container=self.container.id[:12],
            attempt=self.container.attempt, **more,
        )  # fmt: skip

    @property
    def mark(self) -> str:
        """Tells in a condition which container of the pod it speaks of."""
        return f"(container {self.container.id[:12]})"

    def conclude(self, reason: str, message: str, *, restored: bool = False) -> None:
        """What the pod's condition says from now on."""
        self.node.reporter.condition(
            self.pod, restored=restored, reason=reason, message=f"{message[:_MESSAGE]} {self.mark}"
        )


async def decide(node: Node, pod: PodView, container: Container, life: Life) -> float | None:
    """See to it that `container` does one or the other; seconds until it must be asked again."""
    _judge_last(life)
    try:
        running = await facts.running(node, pod, container)
        await words.reachable(running.target, _BEGINS_SECONDS)
        state = words.state(running.target)
    except TargetGoneError:
        return None  # the runtime will tell of the next one
    except (NotWrappedError, NoAnswerError) as error:
        life.decided = container.id
        node.reporter.event(pod, "Warning", error.reason, str(error))
        return None
    start = _Start(node, pod, container, life, running)
    if state == "restoring":  # by an agent that is gone; chrek-init gives up on it
        return _ANOTHER_AGENT_SECONDS
    if state == "running":
        _found_running(start)
        return 0.0
    await learning.compare(node, pod, running)
    checkpoint = await _checkpoint(node, pod)
    decision = plan.at_start(pod, checkpoint, running.here, failed_restores=life.failures)
    if isinstance(decision, Cold):
        await _cold(start, decision)
    elif isinstance(decision, Done):
        _end(start, decision)
    else:
        await _restore(start, decision)
    return 0.0


def _judge_last(life: Life) -> None:
    """A container of this pod has ended, or there was none before."""
    if life.restored_at is not None:
        lived = asyncio.get_running_loop().time() - life.restored_at
        life.failures = life.failures + 1 if lived < _SHORT_LIFE_SECONDS else 0
        life.restored_at = None


async def _checkpoint(node: Node, pod: PodView) -> CheckpointView | None:
    """As our watch tells it; for a placeholder it must be there, and Ready."""
    if pod.checkpoint_id is None:
        return None
    deadline = asyncio.get_running_loop().time() + _LATE_SECONDS
    while True:
        found = node.memory.checkpoint(pod.namespace, pod.checkpoint_id)
        if pod.role != names.PLACEHOLDER or (found is not None and found.variants):
            return found
        if asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(0.05)


async def _cold(start: _Start, decision: Cold) -> None:
    start.life.cold(start.container.id, start.running)
    told = f"{decision.reason}: {decision.message}"
    try:
        await words.cold(start.running.target, told)
    except ChrekError as error:  # it starts cold by itself, only later
        event(_log, logging.WARNING, error.reason, problem=error)
    start.say("cold", reason=decision.reason)
    start.node.metrics.cold(decision.reason)
    start.node.reporter.event(start.pod, "Normal", "ColdStart", told)
    start.conclude(decision.reason, decision.message)


def _end(start: _Start, decision: Done) -> None:
    start.life.decided = start.container.id
    start.say("ends", reason=decision.reason)
    start.node.reporter.event(start.pod, "Normal", decision.reason, decision.message)
    words.tell(start.running.target, "exit 0")


async def _restore(start: _Start, chosen: Restore) -> None:
    node, pod, container, life = start.node, start.pod, start.container, start.life
    start.say("restore", variants=",".join(chosen.variants))
    restart = container.attempt > 0
    try:
        done = await restoring.restore(node, pod, start.running, chosen, restart=restart)
    except ChrekError as error:
        life.cold(container.id, start.running, failure=error.reason)
        is_ended = pod.wish is not None and pod.wish.on_failure == "fail"
        message = f"not restored: {error}. {'It is ended' if is_ended else 'It starts cold'}"
        start.say(error.reason, problem=error)
        node.reporter.event(pod, "Warning", error.reason, message)
        start.conclude(error.reason, message)
        return
    except asyncio.CancelledError:
        message = "not restored: the node's agent was ended meanwhile. It starts cold"
        node.reporter.event(pod, "Warning", _INTERRUPTED, message)
        start.conclude(_INTERRUPTED, message)
        raise
    life.restored(container.id, start.running, asyncio.get_running_loop().time())
    message = f"restored from {pod.checkpoint_id}/{done.variant} in {done.seconds:.2f} s"
    if done.restored.ended:
        message += ", and ended at once"
    node.reporter.event(pod, "Normal", "Restored", message)
    start.conclude("Restored", message, restored=True)


def _found_running(start: _Start) -> None:
    """Its start was decided by an agent that is gone, or by nobody."""
    start.life.runs(start.container.id, start.running)
    start.say("runs already")
    if start.mark in start.pod.restored_message:
        return
    if reason := start.life.failure:  # in the container before this one, which could not go on
        start.life.started_cold = True
        start.conclude(reason, "the container before this one could not be restored: started cold")
        return
    message = (
        "its command was started by chrek-init: no agent was at work on this node at that time. "
        f"Why: kubectl logs {start.pod.name} -c {start.container.name}"
    )
    start.node.reporter.event(start.pod, "Warning", _ALONE, message)
    start.conclude(_ALONE, message)
