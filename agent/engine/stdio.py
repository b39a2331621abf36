"""The placeholder's own standard streams, for what the source had on its own."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from agent.runtime.target import Target
from chrek.errors import TargetGoneError


@contextmanager
def inherited(source: list[str], target: Target) -> Iterator[dict[str, int]]:
    """CRIU's key for each pipe that the source's PID 1 had as 0, 1 or 2 -> a descriptor of the
    stream that takes its place. Anything but a pipe (/dev/null, a file) CRIU opens by itself."""
    with ExitStack() as stack, target.pidfd():
        streams: dict[str, int] = {}
        for number, key in enumerate(source):
            if not key.startswith("pipe:") or key in streams:
                continue
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY
            try:
                # O_NONBLOCK: /dev/null and pipes open at once anyway; nothing here may wait.
                path = f"/proc/{target.init}/fd/{number}"
                descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                raise TargetGoneError(
                    f"standard stream {number} of {target.name} cannot be opened: {error}"
                ) from error
            os.set_blocking(descriptor, True)
            stack.callback(os.close, descriptor)
            streams[key] = descriptor
        yield streams
