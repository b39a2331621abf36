"""What can go wrong between chrek and the Kubernetes API."""

from chrek.errors import ChrekError


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


class ExpiredError(APIError):
    """410: what was asked to go on from is gone; everything must be listed again."""

    reason = "ResourceVersionExpired"
