"""The words by which a pod runs chrek-init: in front of a command, and as a probe."""

from collections.abc import Sequence
from typing import Final

from chrek.names import CHREK_DIR
from chrek.pods.names import IMAGE_INIT

INJECTED_INIT: Final = f"{CHREK_DIR}/chrek-init"
_READY: Final = ([INJECTED_INIT, "ready"], [IMAGE_INIT, "ready"])
_WORDS: Final = 5


def prefix(timeout_seconds: int, *, in_image: bool) -> list[str]:
    """What goes before the command; chrek-init waits so long for the agent's first word."""
    program = IMAGE_INIT if in_image else INJECTED_INIT
    return [program, "wait", "--timeout", str(timeout_seconds), "--"]


def ready(*, in_image: bool) -> list[str]:
    """What a probe runs to learn whether the command has started."""
    return list(_READY[in_image])


def asks_ready(probe: object) -> bool:
    """Whether `probe` runs that, whatever else has become of it."""
    action = probe.get("exec") if isinstance(probe, dict) else None
    return isinstance(action, dict) and action.get("command") in _READY


def is_wrapped(command: object) -> bool:
    """Whether `command` begins as chrek has it begin."""
    return (
        isinstance(command, list)
        and command[:3] in ([INJECTED_INIT, "wait", "--timeout"], [IMAGE_INIT, "wait", "--timeout"])
        and command[4:_WORDS] == ["--"]
    )


def unwrapped(command: Sequence[str]) -> list[str]:
    """A wrapped command without its prefix."""
    return list(command[_WORDS:])
