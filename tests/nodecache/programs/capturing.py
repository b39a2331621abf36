"""Captures a container through a node's directory, and says each phase that has ended.

Run: capturing.py ROOT VOLUME CACHE NAME.
"""

import asyncio
import logging
import sys
from dataclasses import replace
from pathlib import Path

from agent.engine.capture import Capture, capture
from agent.store.checkpoints import Checkpoints
from agent.store.nodecache import NodeCache
from chrek.cli import machine as machines
from chrek.ids import checkpoint_id


class Saying(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print(record.fields["phase"], flush=True)  # type: ignore[attr-defined]


async def main() -> None:
    root, volume, place, name = sys.argv[1:]
    logging.getLogger("chrek.phase").addHandler(Saying(logging.INFO))
    logging.getLogger("chrek.phase").setLevel(logging.INFO)
    machine = machines.open_machine(Path(root))
    means = replace(machine.means(), cache=NodeCache(Path(place), 1 << 30))
    asked = Capture(machine.containers.target(name), checkpoint_id(name), replace=True)
    print("begun", flush=True)
    await capture(asked, store=Checkpoints(Path(volume), "default"), means=means)


asyncio.run(main())
