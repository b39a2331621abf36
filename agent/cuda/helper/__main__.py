"""Started as `python -m agent.cuda.helper FD`, the descriptor being its socket to the agent."""

import functools
import os
import signal
import socket
import sys
from typing import Any

from agent.cuda.helper import serving
from agent.cuda.helper.serving import Calls
from agent.cuda.helper.wire import NOT_INITIALIZED


@functools.cache
def _cuda() -> Any:
    """CUDA is initialised by the first call that needs it: asking NVML does not."""
    # Its own choice of devices is nobody's business here: every GPU of the node is meant.
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    try:
        from agent.cuda.helper.cuda import CUDA  # noqa: PLC0415 - loads libcuda

        return CUDA()
    except Exception as error:
        raise RuntimeError(f"{NOT_INITIALIZED}{error}") from error


def _inventory() -> Any:
    from agent.cuda.helper import nvml  # noqa: PLC0415 - loads libnvidia-ml

    return nvml.inventory()


CALLS: Calls = {
    "inventory": lambda _: _inventory(),
    "warm": lambda _: bool(_cuda()),
    "state": lambda asked: _cuda().state(asked.pid),
    "restore_thread": lambda asked: _cuda().restore_thread(asked.pid),
    "lock": lambda asked: _cuda().lock(asked.pid, asked.timeout_ms),
    "checkpoint": lambda asked: _cuda().checkpoint(asked.pid),
    "restore": lambda asked: _cuda().restore(asked.pid, asked.devices),
    "unlock": lambda asked: _cuda().unlock(asked.pid),
}


def main() -> int:
    """Serve until the agent hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    serving.serve(channel, CALLS)
    # Not through the exit handlers of CUDA's libraries: nothing here is worth waiting for.
    os._exit(0)


if __name__ == "__main__":
    main()
