"""What can go wrong between chrek and the Kubernetes API."""

from typing import Final

from chrek.errors import ChrekError

_PASSING: Final = (0, 401, 408, 429)
"""401 too: a token that has expired is read anew from its file."""
_SERVER_FAILED: Final = 500


class NoClusterError(ChrekError):
    """There is no way to a cluster: no service account, no kubeconfig."""

    reason = "NoCluster"


class APIError(ChrekError):
    """The API server did not answer, or not as hoped. status: HTTP's, 0 for no answer."""

    reason = "KubernetesAPI"
    retry = True

    def __init__(self, message: str, *, status: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether the very same request may be answered otherwise later: nobody answered, or
        not this time. A refusal stands until somebody changes something."""
        return self.status in _PASSING or self.status >= _SERVER_FAILED


class ExpiredError(APIError):
    """410: what was asked to go on from is gone; everything must be listed again."""

    reason = "ResourceVersionExpired"


class ConflictError(APIError):
    """409: somebody else wrote in between. Read again, and decide again."""

    reason = "KubernetesConflict"


class AlreadyExistsError(ConflictError):
    """409: there is an object of that name."""

    reason = "AlreadyExists"
