"""`python -m agent`: the node agent, one on every node (a DaemonSet)."""

import signal
import sys


def _end(number: int, frame: object) -> None:
    sys.exit(0)


if __name__ == "__main__":
    # The kernel drops what a PID 1 has no handler for, and the imports below take their time.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _end)
    from agent.node.run import main

    sys.exit(main())
