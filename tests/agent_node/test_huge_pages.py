"""The agent heeds CHREK_HUGE_PAGES: its own engine asks for huge pages while a GPU's bytes are
copied, of a switch that is not the machine's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cuda import hugepages

from .conftest import NEEDED

FOUND = "always [madvise] never\n"
_MAKING_ROOM = """
import asyncio, dataclasses, os, pathlib, sys
from agent.criu import bundle
from agent.cuda import hugepages
from agent.engine import gpu_room
from agent.engine.means import Means
from agent.kernel import process
from agent.node import flags, work
from agent.runtime.target import Target
from agent.trust.local import local

async def main(root, *asked):
    settings = dataclasses.replace(work._settings(flags.parse(asked)), root=root)
    means = Means(bundle.find(), settings, local(root))
    own = os.getpid()
    target = Target("pod", "none", own, process.start_ticks(own))
    async with gpu_room.roomy("capture", 0, target, means):
        print(hugepages.SWITCH.read_text(), end="")

asyncio.run(main(pathlib.Path(sys.argv[1]), *sys.argv[2:]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes a mount")
@pytest.mark.skipif(not hugepages.chosen(), reason="this kernel has no huge pages")
@pytest.mark.parametrize(("wished", "meanwhile"), [("always", "always"), ("leave", FOUND)])
def test_it_switches_them_on_while_it_copies_if_it_is_asked_to(
    tmp_path: Path, wished: str, meanwhile: str
) -> None:
    switch = tmp_path / "enabled"
    switch.write_text(FOUND)
    script = f'mount --bind {switch} {hugepages.SWITCH} && exec "$@"'
    command = ["unshare", "--mount", "sh", "-ec", script, "sh", sys.executable, "-c", _MAKING_ROOM]
    done = subprocess.run(
        [*command, str(tmp_path), *NEEDED, f"--seccomp-dir={tmp_path}"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"CHREK_HUGE_PAGES": wished},
        check=False,
    )
    assert (done.stdout, done.returncode) == (meanwhile, 0), done.stderr
