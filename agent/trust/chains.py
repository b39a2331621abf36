"""Seccomp programs in CRIU's images: every restored thread keeps those of the container it comes
into, whatever it had before. Pure.

An image has one list of programs. A thread names its oldest, `prev` leads to the next younger one.
Where all threads of a process share theirs only the leader has them, marked with TSYNC.
"""

from dataclasses import dataclass
from typing import Any, Final

from agent.trust.rights import Container
from chrek.errors import DamagedError, ExceedsError

_DISABLED: Final = 0
_FILTER: Final = 2
_TSYNC: Final = 1
_LOG: Final = 2
_INSTRUCTION_BYTES: Final = 8
_MOST: Final = 64
"""Programs of one thread; the kernel's bound is one of instructions."""


@dataclass(frozen=True, slots=True)
class Thread:
    """A live thread: its name for messages, and its core_entry."""

    who: str
    core: Any


class Chains:
    """The programs of an image, and those that a container has."""

    def __init__(self, entry: Any | None, container: Container) -> None:
        self._entry = entry
        self._container = container
        self.changed = False

    def keep(self, threads: list[Thread]) -> None:
        """See that all threads of one process, the leader first, keep the container's programs;
        raises ExceedsError for one that had none at all."""
        shared = self._checked(threads[0], shared=False)
        for thread in threads[1:]:
            self._checked(thread, shared=shared)

    def _checked(self, thread: Thread, *, shared: bool) -> bool:
        """Whether the thread's programs are its siblings' too."""
        core = thread.core.thread_core
        own = self._container.filters
        if core.seccomp_mode == _DISABLED:
            if own and not shared:
                raise ExceedsError(
                    f"{thread.who} would have no seccomp filter, and the container has {len(own)}"
                )
            return False
        if core.seccomp_mode != _FILTER:
            if own:
                raise ExceedsError(
                    f"{thread.who} would be in seccomp mode {core.seccomp_mode}, and the container "
                    f"has {len(own)} filters"
                )
            return False
        chain = self._chain(core.seccomp_filter)
        flags = {program.flags & _TSYNC for program in chain}
        if len(flags) != 1 or any(program.flags & ~(_TSYNC | _LOG) for program in chain):
            raise DamagedError(f"the seccomp filters of {thread.who} have flags that none has")
        if tuple(program.filter for program in chain[: len(own)]) != own:
            self._put_first(core, flags.pop())
            return bool(chain[0].flags & _TSYNC)
        return bool(flags.pop())

    def _chain(self, oldest: int) -> list[Any]:
        programs = self._entry.seccomp_filters if self._entry is not None else []
        chain: list[Any] = []
        number: int | None = oldest
        while number is not None:
            if number >= len(programs) or len(chain) == _MOST:
                raise DamagedError("a chain of seccomp filters leads nowhere")
            program = programs[number]
            if not program.filter or len(program.filter) % _INSTRUCTION_BYTES:
                raise DamagedError("a seccomp filter is no program")
            chain.append(program)
            number = program.prev if program.HasField("prev") else None
        return chain

    def _put_first(self, core: Any, flags: int) -> None:
        """Another runtime, or another version of it, writes another program for the same profile:
        so a thread may come without the container's own. Then it gets them, below its own."""
        assert self._entry is not None
        younger = core.seccomp_filter
        for program in reversed(self._container.filters):
            added = self._entry.seccomp_filters.add(filter=program, prev=younger, flags=flags)
            younger = len(self._entry.seccomp_filters) - 1
            assert added.HasField("prev")
        core.seccomp_filter = younger
        self.changed = True
