"""What real containers need of the machine."""

import os
import shutil

from agent.criu import bundle
from agent.init import binary
from chrek.errors import MachineError

_COMMANDS = ("runc", "ip", "nsenter", "unshare", "mkfs.ext4", "losetup", "prlimit")


def missing() -> str:
    """In words, with the cure; empty when all is there."""
    if os.geteuid() != 0:
        return "needs root: containers are made"
    try:
        bundle.find()
        binary.path()
    except MachineError as error:
        return str(error)
    absent = [name for name in _COMMANDS if not shutil.which(name)]
    return f"needs {', '.join(absent)}: run `make setup test-tools`" if absent else ""
