"""One tree of errors. Each knows its reason (a Kubernetes reason) and whether a retry can help.

Errors of other libraries never leave the module that called them: they are turned into one of
these, with a message that names the step and the next thing to look at.
"""

from typing import ClassVar


class ChrekError(Exception):
    """Anything chrek reports to a person.

    reason: CamelCase, stable, used as Kubernetes reason, metric label and JSON field.
    retry: whether the same call can succeed later without anybody changing anything.
    hint: what to look at or do next; empty when the message says it all.
    """

    reason: ClassVar[str] = "Failed"
    retry: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class UsageError(ChrekError):
    """The request itself makes no sense."""

    reason = "InvalidRequest"


class NotFoundError(ChrekError):
    """The named container or checkpoint does not exist."""

    reason = "NotFound"


class ExistsError(ChrekError):
    """The name is taken."""

    reason = "AlreadyExists"


class BusyError(ChrekError):
    """Somebody else works on it now."""

    reason = "Busy"
    retry = True


class MachineError(ChrekError):
    """This machine lacks what chrek needs; `chrek check` names it."""

    reason = "MachineUnable"


class RuntimeFailedError(ChrekError):
    """The container runtime did not do what it was asked."""

    reason = "RuntimeFailed"


class TargetGoneError(ChrekError):
    """The container ended, or is not the one it was, while chrek worked on it."""

    reason = "TargetGone"


class NoAnswerError(ChrekError):
    """chrek-init in the container did not take the agent's word."""

    reason = "InitNoAnswer"


class RefusedError(ChrekError):
    """The source holds something that cannot be checkpointed; it was not touched."""

    reason = "NotCheckpointable"


class IoUringError(RefusedError):
    reason = "IoUring"


class TerminalError(RefusedError):
    reason = "Terminal"


class TracedError(RefusedError):
    reason = "Traced"


class OutsideTreeError(RefusedError):
    reason = "ProcessOutsideTree"


class NestedError(RefusedError):
    """A process of it is in namespaces of its own: a container, or a sandbox, in the container."""

    reason = "NestedNamespaces"


class StuckError(RefusedError):
    """A thread waits in the kernel, where nothing reaches it, so that it cannot be frozen."""

    reason = "WillNotFreeze"
    retry = True


class DescriptorError(RefusedError):
    """A descriptor of a kind that CRIU does not know."""

    reason = "DescriptorNotKept"


class SocketError(RefusedError):
    """A socket of a protocol that CRIU does not know."""

    reason = "SocketNotKept"


class SealedMemoryError(RefusedError):
    reason = "SealedMemory"


class WatchError(RefusedError):
    """A watched file that no path leads to."""

    reason = "WatchNotKept"


class SystemVError(RefusedError):
    """Its IPC namespace holds System V objects, which are of no process and so in no image."""

    reason = "SystemVIPC"


class NotWrappedError(RefusedError):
    reason = "NotUnderChrekInit"


class FilesUnsupportedError(RefusedError):
    reason = "FilesNotKept"


class FilesTooLargeError(RefusedError):
    reason = "FilesTooLarge"


class DumpError(ChrekError):
    """CRIU could not dump; the source was resumed."""

    reason = "DumpFailed"
    retry = True


class EnterError(ChrekError):
    """The namespaces or cgroups of the container could not be entered."""

    reason = "EnterFailed"
    retry = True


class StorageError(ChrekError):
    """The place where checkpoints live refused a read or a write."""

    reason = "StorageFailed"
    retry = True


class ClaimUnreachableError(StorageError):
    """The volume that holds a pod's checkpoints is not there on this node, or does not answer."""

    reason = "ClaimUnreachable"


class StorageDeniedError(StorageError):
    """The volume lets root not read or write: a squashing NFS export, or read-only."""

    reason = "StorageDenied"
    retry = False


class StorageFullError(StorageError):
    """No room, or no quota, is left on the volume."""

    reason = "StorageFull"


class DamagedError(ChrekError):
    """A checkpoint is not, byte for byte, what was published."""

    reason = "CheckpointDamaged"


class FormatError(ChrekError):
    """The checkpoint was written in a format this chrek cannot read."""

    reason = "FormatUnknown"


class TrustError(ChrekError):
    """A checkpoint that is not, or not for this pod, from an agent that is trusted here."""

    reason = "CheckpointUntrusted"


class UnsignedError(TrustError):
    """Nobody signed it."""

    reason = "CheckpointUnsigned"


class ForgedError(TrustError):
    """The signature is none, or not of these bytes."""

    reason = "SignatureInvalid"


class UntrustedKeyError(TrustError):
    """It was signed with a key that is not, or not yet, trusted here."""

    reason = "SigningKeyUnknown"


class ForeignError(TrustError):
    """It was made for the pods of another namespace."""

    reason = "ForeignNamespace"


class ExceedsError(TrustError):
    """A process of it would have more rights than the placeholder's own container was given."""

    reason = "PrivilegeExceeds"


class SigningKeyError(ChrekError):
    """The keys for checkpoints cannot be read, or are none."""

    reason = "SigningKeyInvalid"


class IncompatibleError(ChrekError):
    """The checkpoint is whole but does not fit here."""

    reason = "Incompatible"


class ArchitectureError(IncompatibleError):
    reason = "ArchitectureDiffers"


class CPUFeaturesError(IncompatibleError):
    reason = "CPUFeaturesMissing"


class MountsError(IncompatibleError):
    reason = "MountsDiffer"


class AddressError(IncompatibleError):
    reason = "AddressUnmapped"


class UserError(IncompatibleError):
    reason = "UserDiffers"


class VolumeFileGoneError(IncompatibleError):
    """A file that the source used is no longer in the ConfigMap or Secret."""

    reason = "VolumeFileGone"


class VolumeFileChangedError(IncompatibleError):
    """What is in the ConfigMap or Secret now cannot take the place of what the source used."""

    reason = "VolumeFileChanged"


class FilesRestoreError(ChrekError):
    """What the source had written could not be written into the placeholder."""

    reason = "FilesFailed"


class RestoreError(ChrekError):
    """CRIU could not restore; the placeholder was told to start cold."""

    reason = "RestoreFailed"


class OutOfMemoryError(RestoreError):
    """The kernel killed what was restored: the container, its pod or the node has too little."""

    reason = "OutOfMemory"


class CopyDamagedError(RestoreError):
    """The node's own copy of a checkpoint is not what was published. It is gone now."""

    reason = "NodeCopyDamaged"
    retry = True
