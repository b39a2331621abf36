"""The words in front of a container's command that make chrek-init its PID 1."""

from collections.abc import Sequence
from typing import Final

from chrek.names import CHREK_DIR
from chrek.pods.names import IMAGE_INIT

INJECTED_INIT: Final = f"{CHREK_DIR}/chrek-init"
_WORDS: Final = 5


def prefix(timeout_seconds: int, *, in_image: bool) -> list[str]:
    """What goes before the command; chrek-init waits so long for the agent's first word."""
    program = IMAGE_INIT if in_image else INJECTED_INIT
    return [program, "wait", "--timeout", str(timeout_seconds), "--"]


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
