"""check: is this machine able?"""

import argparse
import sys

from agent.machine.check import answers
from chrek.cli import output
from chrek.errors import MachineError

_UNABLE = 3


async def check(asked: argparse.Namespace) -> int:
    """Print every answer; 3 when any is no."""
    if sys.platform != "linux":
        raise MachineError("chrek needs Linux: it checkpoints processes with CRIU")
    found = answers()
    if asked.json:
        output.as_json(found)
    else:
        rows = [[answer.verdict, answer.question, answer.found, answer.cure] for answer in found]
        output.table(["", "WHAT", "FOUND", "CURE"], rows)
    return _UNABLE if any(answer.verdict == "no" for answer in found) else 0
