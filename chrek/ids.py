"""Types and checks for names and PIDs, so that a host PID is never taken for a container's."""

import re
from typing import NewType

from chrek.errors import UsageError

HostPID = NewType("HostPID", int)
"""A PID as the agent sees it, in the host's PID namespace."""

NamespacePID = NewType("NamespacePID", int)
"""A PID as the container sees it; the numbers in CRIU's images."""

CheckpointID = NewType("CheckpointID", str)
"""DNS label: 16 hex characters derived from the pod, or a name that the user owns."""

Variant = NewType("Variant", str)
"""16 hex characters of what only a node knows (architecture, CPU, image digest, GPU)."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SHOWN = 80
_VARIANT = re.compile(r"[0-9a-f]{16}")


def label(text: str, what: str) -> str:
    """`text`, if it is a DNS label (RFC 1123); raises UsageError naming `what`."""
    if not is_label(text):
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
        raise UsageError(
            f"{what} {shown!r} is not a DNS label",
            hint="Use 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit",
        )
    return text


def is_label(text: str) -> bool:
    """Whether `text` is a DNS label."""
    return _LABEL.fullmatch(text) is not None


def checkpoint_id(text: str) -> CheckpointID:
    """A validated checkpoint id; raises UsageError."""
    return CheckpointID(label(text, "checkpoint id"))


def is_variant(text: str) -> bool:
    """Whether `text` has the form of a variant's directory name."""
    return _VARIANT.fullmatch(text) is not None
