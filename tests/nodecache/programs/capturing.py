"""Captures a container through a node's directory. Run: capturing.py ROOT VOLUME CACHE NAME."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from agent.engine.capture import Capture, capture
from agent.store.checkpoints import Checkpoints
from agent.store.nodecache import NodeCache
from chrek.cli import machine as machines
from chrek.ids import checkpoint_id


async def main() -> None:
    root, volume, place, name = sys.argv[1:]
    machine = machines.open_machine(Path(root))
    means = replace(machine.means(), cache=NodeCache(Path(place), 1 << 30))
    asked = Capture(machine.containers.target(name), checkpoint_id(name), replace=True)
    print("capturing", flush=True)
    await capture(asked, store=Checkpoints(Path(volume), "default"), means=means)


asyncio.run(main())
