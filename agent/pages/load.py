"""Pages into a restored tree, while CRIU holds it: each block is read once, checked, and those very
bytes are written. One wrong byte, and nothing of the tree may run.
"""

import errno
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from typing import Final, NamedTuple

from agent.kernel import cpus, workers
from agent.kernel.memory import Buffer, Other, address_of
from agent.kernel.workers import Threads
from agent.pages.index import Opened
from agent.store import contents, hashing
from agent.store.compressed import Reader
from agent.store.failures import named
from chrek.errors import RestoreError

_STRIPE_BLOCKS: Final = 16
"""Blocks in a row that one thread takes: two threads in one huge page would both make it."""


class _Stripe(NamedTuple):
    page_file: Opened
    blocks: list[int]


class Share(NamedTuple):
    """Every `of`th stripe from the one numbered `number` on, counted from 0."""

    number: int
    of: int


_ALL: Final = Share(0, 1)


def load(
    pages: Collection[Opened],
    pids: Mapping[int, int],
    threads: Threads,
    stop: threading.Event,
    share: Share = _ALL,
) -> None:
    """Fill the memory of the processes `pids` (as the container counts -> as this machine does)
    with these threads, or a share of it. Raises DamagedError, RestoreError, StoppedError."""
    with ExitStack() as stack:
        others: dict[int, Other] = {}
        for each in pages:
            pid = each.file.pid
            if pid not in pids:
                raise RestoreError(f"PID {pid} of the restored tree is not there")
            if pid not in others:
                others[pid] = stack.enter_context(_other(pid, pids[pid]))

        def begin() -> Callable[[_Stripe], None]:
            cpus.stay_on(threads.cpus)
            reader = _Reader()

            def one(stripe: _Stripe) -> None:
                other = others[stripe.page_file.file.pid]
                for number in stripe.blocks:
                    if stop.is_set():
                        return
                    _block(stripe.page_file, number, reader, other)

            return one

        stripes = islice(_stripes(pages), share.number, None, share.of)
        workers.spread(stripes, threads.number, stop, begin)


def _stripes(pages: Collection[Opened]) -> Iterator[_Stripe]:
    for each in pages:
        blocks: list[int] = []
        for number in each.extents.blocks():
            if blocks and number // _STRIPE_BLOCKS != blocks[-1] // _STRIPE_BLOCKS:
                yield _Stripe(each, blocks)
                blocks = []
            blocks.append(number)
        if blocks:
            yield _Stripe(each, blocks)


class _Reader:
    """Of one thread."""

    def __init__(self) -> None:
        self._buffer = Buffer(hashing.BLOCK_BYTES)
        self._compressed = Reader()

    def read(self, page_file: Opened, number: int) -> bytes | memoryview:
        """A block, checked; for as long as no other is read."""
        if page_file.table is not None:
            return self._compressed.read(page_file.descriptor, page_file.table, number)
        file, start = page_file.file, number * hashing.BLOCK_BYTES
        size = min(hashing.BLOCK_BYTES, page_file.size_bytes - start)
        with named(f"{file.name} of the checkpoint"):
            whole = self._buffer.fill(page_file.descriptor, size, start)
        block = self._buffer.view[:size]
        if not whole or hashing.of_block(block) != file.digests[hashing.place(number)]:
            raise contents.differs(file.name)
        return block


def _block(page_file: Opened, number: int, reader: _Reader, other: Other) -> None:
    file, start = page_file.file, number * hashing.BLOCK_BYTES
    block = reader.read(page_file, number)
    address = address_of(block)
    parts = [
        (address + extent.offset - start, extent.there, extent.size)
        for extent in page_file.extents.within(start, start + len(block))
    ]
    try:
        other.write(parts)
    except OSError as error:
        what = "has no such memory" if error.errno == errno.EFAULT else error.strerror or error
        raise RestoreError(f"PID {file.pid} of the restored tree: {what}") from error


def _other(pid: int, host_pid: int) -> Other:
    try:
        return Other(host_pid)
    except OSError as error:
        raise RestoreError(f"PID {pid} of the restored tree is not there: {error}") from error
