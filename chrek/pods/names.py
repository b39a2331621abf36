"""Labels, annotations and names in Kubernetes objects. All of them are promises.

What a user writes is described in docs/annotations.md; what chrek adds to a pod, in
docs/admission.md.
"""

from typing import Final

GROUP: Final = "chrek.io"
VERSION: Final = "v1alpha1"
PLURAL: Final = "checkpoints"

NAMESPACE_LABEL: Final = "chrek"
NAMESPACE_ENABLED: Final = "enabled"
"""A namespace labelled `chrek=enabled` has its annotated pods taken on."""

COMPONENT_LABEL: Final = "chrek.io/component"
"""On chrek's own pods (webhook, agent), which no webhook of chrek ever looks at."""

# What a user writes on a pod, or, but for CHECKPOINT, as a default on the namespace.
CHECKPOINT: Final = "chrek.io/checkpoint"
CONTAINER: Final = "chrek.io/container"
CHECKPOINT_IMAGE: Final = "chrek.io/checkpoint-image"
CLAIM: Final = "chrek.io/claim"
ON_FAILURE: Final = "chrek.io/on-failure"
RESTORE_TIMEOUT: Final = "chrek.io/restore-timeout"
CHECKPOINT_AFTER: Final = "chrek.io/checkpoint-after"
AFTER_CHECKPOINT: Final = "chrek.io/after-checkpoint"
IGNORE_ENV: Final = "chrek.io/ignore-env"
PROFILE: Final = "chrek.io/profile"
PRE_CHECKPOINT: Final = "chrek.io/pre-checkpoint"
POST_RESTORE: Final = "chrek.io/post-restore"

DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
DEFAULT_CLAIM: Final = "chrek-checkpoints"
AUTO: Final = "auto"

# What chrek writes on a pod that it takes on.
ROLE_LABEL: Final = "chrek.io/role"
SOURCE: Final = "source"
PLACEHOLDER: Final = "placeholder"
CHECKPOINT_ID: Final = "chrek.io/checkpoint-id"
IDENTITY: Final = "chrek.io/identity"
"""16 hex characters of what must be equal for a checkpoint to fit (chrek.pods.identity)."""
AS_WRITTEN: Final = "chrek.io/as-written"
"""JSON of what the user had written where chrek wrote something else: image, probes."""

RESTORED: Final = "chrek.io/Restored"
"""Condition of a pod: whether its container was restored, and why not."""

SAFE_TO_EVICT: Final = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
"""Names volumes, with commas, that do not keep the autoscaler from removing a node."""

# What chrek adds to a pod that it takes on.
INIT_CONTAINER: Final = "chrek-init"
DIR_VOLUME: Final = "chrek"
CLAIM_VOLUME: Final = "chrek-claim"
CLAIM_PATH: Final = "/checkpoints"
"""Where the claim is mounted, read-only: in the init container, or with a checkpoint image in
the chosen container."""
IMAGE_INIT: Final = "/opt/chrek/chrek-init"
"""chrek-init in an image of Dockerfile.agent's `placeholder` target."""
