"""What can go wrong between the agent and the node's container runtime."""

from chrek.errors import ChrekError


class CRIError(ChrekError):
    """The runtime refused a call, or answered what cannot be used."""

    reason = "RuntimeFailed"
    retry = True


class RuntimeUnreachableError(CRIError):
    """Nobody answers on the runtime's socket, or not in time."""

    reason = "RuntimeUnreachable"


class ContainerUnknownError(CRIError):
    """The runtime does not know the container (any more)."""

    reason = "TargetGone"
    retry = False


class ImageUnknownError(CRIError):
    """The runtime does not have the image (any more)."""

    reason = "ImageUnknown"


class UnknownCallError(CRIError):
    """The runtime does not speak this version of the interface, or not all of it."""
