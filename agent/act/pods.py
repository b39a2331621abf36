"""One look at one pod: what its container needs now. Called again after every change."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from agent.act import capturing, learning, readahead, starting
from agent.act.life import Life, Running
from agent.act.node import Node, now
from agent.engine import gpu
from agent.init import words
from agent.plan import capture as plan
from agent.plan.capture import Attempt, Refuse, Wait
from agent.plan.checkpoint import CheckpointView
from agent.plan.pod import PodView
from agent.plan.warm import Never, NotYet, warmth
from agent.runtime.cri.model import Container
from agent.store.checkpoints import Stored
from agent.watch.workers import GoneError
from chrek.errors import ChrekError, TargetGoneError
from chrek.logs import event
from chrek.pods import names

_log = logging.getLogger("chrek.pods")

_RETRY_SECONDS: Final = 2.0
_EXPECTED_SECONDS: Final = 120.0
_ALREADY: Final = "AlreadyCheckpointed"
_NO_ROOM: Final = "ClaimFull"


class Pods:
    """The lives of this node's pods."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lives: dict[str, Life] = {}
        self._expected: dict[str, float] = {}
        self._captures: dict[str, asyncio.Task[object]] = {}

    def note(self, uid: str) -> None:
        """Something of this pod has changed; at once, while its worker may be at work.

        A source that is to be deleted is not held up by its capture.
        """
        pod = self._node.memory.pod(uid)
        task = self._captures.get(uid)
        if task is not None and (pod is None or pod.deleting):
            task.cancel()
        if pod is not None and pod.wrapped and not self._is_decided(pod):
            self._expected[uid] = asyncio.get_running_loop().time()
        else:
            self._expected.pop(uid, None)

    def expecting(self) -> bool:
        """Whether a container is about to start that must be told something."""
        oldest = asyncio.get_running_loop().time() - _EXPECTED_SECONDS
        return any(since > oldest for since in self._expected.values())

    async def handle(self, uid: str) -> float | None:
        """Do what this pod needs; seconds until it wants another look."""
        pod = self._node.memory.pod(uid)
        if pod is None:
            self._lives.pop(uid, None)
            self._expected.pop(uid, None)
            raise GoneError(uid)
        if not (pod.wrapped or pod.learn):
            if pod.annotated:
                self._tell_not_taken_on(pod)
            return None
        if pod.container is None or pod.ended:
            return None
        life = self._lives.setdefault(uid, Life())
        container = self._node.containers.of(uid, pod.container)
        if container is None or container.state != "running":
            self._prepare(pod, life)
            return None
        try:
            return await self._look(pod, container, life)
        except TargetGoneError:
            return None
        except ChrekError as error:
            event(
                _log, logging.WARNING, error.reason,
                pod=f"{pod.namespace}/{pod.name}", problem=error,
            )  # fmt: skip
            return _RETRY_SECONDS

    async def _look(self, pod: PodView, container: Container, life: Life) -> float | None:
        if pod.learn:
            if self._node.memory.enabled(pod.namespace):
                await learning.learn(self._node, pod, container, life)
            return None
        if life.decided != container.id:
            again = await starting.decide(self._node, pod, container, life)
            if life.decided == container.id:
                self._expected.pop(pod.uid, None)
            return again
        if life.running is None or pod.deleting:
            return None
        return await self._maybe_capture(pod, life, life.running)

    def _tell_not_taken_on(self, pod: PodView) -> None:
        """Whoever made it, a controller mostly, was told so by the webhook, if that was there."""
        life = self._lives.setdefault(pod.uid, Life())
        if self._node.memory.enabled(pod.namespace) and life.once("not taken on"):
            why = pod.problem or (
                f"the webhook was not there, or it found claim {pod.claim} to be missing or unfit; "
                "its log says which"
            )
            self._node.reporter.event(
                pod, "Warning", "NotTakenOn",
                f"annotated, but it was not taken on when it was created: {why}. Once that is "
                "mended, delete the pod to have it made anew",
            )  # fmt: skip

    def _prepare(self, pod: PodView, life: Life) -> None:
        """Its claim is mounted once its init container has been made."""
        if not life.read_ahead and self._node.containers.of(pod.uid, names.INIT_CONTAINER):
            life.read_ahead = True
            self._node.later(readahead.read_ahead(self._node, pod))

    def _is_decided(self, pod: PodView) -> bool:
        life = self._lives.get(pod.uid)
        container = self._node.containers.of(pod.uid, pod.container or "")
        return pod.ended or (
            life is not None and container is not None and life.decided == container.id
        )

    async def _maybe_capture(self, pod: PodView, life: Life, running: Running) -> float | None:
        node = self._node
        if not node.memory.enabled(pod.namespace) or node.memory.ending(pod.namespace):
            return None
        there = await life.looking.ask(pod.wish, running.target)
        warm = warmth(pod, now(), file_there=there)
        if isinstance(warm, NotYet):
            return warm.again_seconds
        if isinstance(warm, Never):
            self._tell(pod, life, warm)
            return None
        assert pod.checkpoint_id is not None
        found = node.memory.checkpoint(pod.namespace, pod.checkpoint_id)
        decided = self._attempt(pod, life, running, 0, found)
        held_bytes = 0
        if not (isinstance(decided, Refuse) and decided.reason == _ALREADY):
            # That reads all of /proc; and every restore from a Checkpoint wakes all of its pods.
            held_bytes = await asyncio.to_thread(capturing.estimate_bytes, running.target)
            held_bytes += await gpu.held_bytes(running.target, node.means)
            decided = self._attempt(pod, life, running, held_bytes, found)
        if isinstance(decided, Wait):
            if decided.reason == _NO_ROOM:
                node.want_room(pod.namespace, pod.claim, held_bytes)
            return decided.seconds
        if isinstance(decided, Refuse):
            if decided.reason != _ALREADY:
                self._tell(pod, life, decided)
            elif pod.wish is not None and pod.wish.after_checkpoint == "exit":
                self._end(pod, life, running)
            return None

        def wanted(seen: CheckpointView) -> Attempt | None:
            asked = self._attempt(pod, life, running, held_bytes, seen)
            return asked if isinstance(asked, Attempt) else None

        cold = warm.cold_start_seconds
        if not life.started_cold:  # it was restored, or started before this agent
            cold = max(cold, found.cold_start_seconds or 0.0) if found else cold
        work = capturing.capture(node, pod, running, wanted=wanted, cold_start_seconds=cold)
        return await self._capture(pod, life, work)

    def _end(self, pod: PodView, life: Life, running: Running) -> None:
        """All that it was for is done."""
        if pod.restart_policy != "Always":
            words.tell(running.target, "exit 0")
        elif life.once("exit"):
            self._node.reporter.event(
                pod, "Warning", "ExitIgnored",
                f"{names.AFTER_CHECKPOINT}: exit is for Jobs: with restartPolicy Always the "
                "container would be started again, for ever. It runs on",
            )  # fmt: skip

    def _attempt(
        self,
        pod: PodView,
        life: Life,
        running: Running,
        held_bytes: int,
        found: CheckpointView | None,
    ) -> Attempt | Wait | Refuse:
        node = self._node
        others = node.memory.checkpoints(pod.namespace)
        stored = [variant for one in others if one.claim == pod.claim for variant in one.variants]
        return plan.attempt(
            pod,
            found,
            running.here,
            now(),
            node=node.name,
            cold_because=life.failure,
            estimate_bytes=held_bytes,
            claim_bytes_used=sum(variant.size_bytes for variant in stored),
            claim_bytes_limit=node.limits.claim_bytes,
            siblings=[one for one in others if one.workload == pod.workload],
        )

    async def _capture(
        self, pod: PodView, life: Life, work: Coroutine[Any, Any, Stored | None]
    ) -> float | None:
        task = asyncio.create_task(work)
        self._captures[pod.uid] = task
        try:
            stored = await task
        except asyncio.CancelledError:
            if task.cancelled() and not _is_cancelled():
                event(_log, logging.INFO, "capture given up", pod=f"{pod.namespace}/{pod.name}")
                return None  # by note(): the pod is to be deleted
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        except ChrekError as error:
            self._node.reporter.event(
                pod, "Warning", error.reason, f"not checkpointed, it runs on: {error}"
            )
            return _RETRY_SECONDS
        finally:
            del self._captures[pod.uid]
        if stored is None:
            return _RETRY_SECONDS
        life.failure = ""
        made = stored.manifest
        self._node.reporter.event(
            pod, "Normal", "Checkpointed",
            f"checkpoint {made.id}/{made.variant} is published: {made.size_bytes >> 20} MiB; the "
            f"pod stood still for {made.frozen_seconds:.2f} s",
        )  # fmt: skip
        return _RETRY_SECONDS  # by then our watch has told of it, and a Job may end

    def _tell(self, pod: PodView, life: Life, why: Never | Refuse) -> None:
        if life.once(why.reason):
            self._node.metrics.refused(why.reason)
            text = f"not checkpointed: {why.message}"
            self._node.reporter.event(pod, "Warning", why.reason, text)


def _is_cancelled() -> bool:
    """Whether the worker itself is to end."""
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0
