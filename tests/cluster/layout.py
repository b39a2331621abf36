"""Where the cluster keeps its files, and which names and addresses it takes."""

import os
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chrek"
PROGRAMS = CACHE / "kubernetes" / "bin"
ARCHIVES = CACHE / "images" / "archives"

# A second cluster beside the first takes another name and network.
NAME = os.environ.get("CHREK_CLUSTER_NAME") or "chrek-cluster"  # at most 15 characters
PREFIX = os.environ.get("CHREK_CLUSTER_NETWORK") or "10.215"

STATE = Path("/var/lib") / NAME
LOGS = STATE / "logs"
RUNNING = STATE / "running"
KEYS = STATE / "keys"
CONFIGURATION = STATE / "configuration"
VOLUMES = STATE / "volumes"
KUBECONFIG = STATE / "kubeconfig"
NODE_PID = STATE / "node.pid"
FOR_TESTS = STATE / "for-tests"  # it was started by a test run, and ends with the last one

NODE = "node-1"
CGROUP = NAME
LINK = NAME  # the host's end of the only way in

# One route on the host leads to all of these.
NETWORK = f"{PREFIX}.0.0/16"
HOST_ADDRESS = f"{PREFIX}.0.1"
NODE_ADDRESS = f"{PREFIX}.0.2"
PODS = f"{PREFIX}.64.0/18"
SERVICES = f"{PREFIX}.128.0/18"
API_SERVICE = f"{PREFIX}.128.1"
API_SERVER = f"https://{NODE_ADDRESS}:6443"

CONTAINERD = "/run/containerd/containerd.sock"  # in the node, where every node has it
PAUSE = "docker.io/chrek-test/pause:1"


def version() -> str:
    """chrek's version, which is the tag of its images."""
    text = (REPOSITORY / "pyproject.toml").read_text()
    found = re.search(r'^version = "(.+)"$', text, re.MULTILINE)
    assert found, "pyproject.toml has no version"
    return found[1]
