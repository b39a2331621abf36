"""What must be on the machine before a cluster can be started."""

import os
import shutil

from .commands import ENVIRONMENT
from .errors import ClusterError
from .layout import PROGRAMS
from .programs import all_programs

COMMANDS = ("containerd", "ctr", "etcd", "runc", "iptables", "ip", "nsenter", "unshare")


def refuse_what_lacks() -> None:
    if os.geteuid():
        raise ClusterError("the cluster makes namespaces and so must be started by root")
    wanted = {"kubectl", *(program.command[0].rpartition("/")[2] for program in all_programs())}
    built = sorted(name for name in wanted - set(COMMANDS) if not (PROGRAMS / name).exists())
    found = ENVIRONMENT["PATH"]
    packaged = [name for name in COMMANDS if not shutil.which(name, path=found)]
    if built or packaged:
        raise ClusterError(
            f"{', '.join(built + packaged)} missing: `make test-cluster` brings them"
            " (tests/cluster/README.md has the single steps)"
        )
