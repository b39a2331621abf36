"""What can go wrong when a registry is asked. No message holds a secret, a token or a query."""

from typing import Self

from chrek.errors import ChrekError


class RegistryError(ChrekError):
    """The image's ENTRYPOINT and CMD could not be learned from its registry."""

    reason = "RegistryLookupFailed"

    def again(self) -> Self:
        """The same error, to be raised to one more caller."""
        return type(self)(self.message, hint=self.hint)


class ImageNameError(RegistryError):
    """No image can have this name."""

    reason = "ImageNameInvalid"


class ImageUnknownError(RegistryError):
    """The registry has no such image, or does not show it to these credentials."""

    reason = "ImageUnknown"


class ImageKindError(RegistryError):
    """It is in the registry, but no image of a kind that containerd runs."""

    reason = "ImageUnsupported"


class ImagePlatformsError(RegistryError):
    """What the image starts depends on the node, which is not known at admission."""

    reason = "ImagePlatforms"


class ImageTooLargeError(RegistryError):
    """A document is larger than chrek reads, or the command larger than it writes."""

    reason = "ImageConfigTooLarge"


class ImageDamagedError(RegistryError):
    """What came is not what its digest says."""

    reason = "ImageDigestDiffers"


class PullSecretError(RegistryError):
    """A pull secret cannot be read; kubelet would not pull with it either."""

    reason = "PullSecretInvalid"


class RegistryDeniedError(RegistryError):
    """The registry or its token server refuses these credentials, or their absence."""

    reason = "RegistryDenied"


class RegistryUnsafeError(RegistryError):
    """The registry is, or leads to, a place where the webhook does not go."""

    reason = "RegistryUnsafe"


class RegistryAnswerError(RegistryError):
    """What came is no answer of a registry."""

    reason = "RegistryAnswerInvalid"


class RegistryUnreachableError(RegistryError):
    """No connection, no trusted certificate, or the registry says that it is broken."""

    reason = "RegistryUnreachable"
    retry = True


class RegistryTimeoutError(RegistryError):
    """The time an admission can wait is over."""

    reason = "RegistryTimeout"
    retry = True


class RegistryBusyError(RegistryError):
    """The registry limits requests, or chrek asks as much as it allows itself."""

    reason = "RegistryBusy"
    retry = True
