"""What can go wrong with certificates. Errors of cryptography, ssl and the API end here."""

from chrek.errors import ChrekError


class CertsError(ChrekError):
    """The certificates could not be read, made, stored or made trusted."""

    reason = "CertificatesFailed"
    retry = True


class ConflictError(CertsError):
    """Somebody else wrote in between: read again and decide again."""

    reason = "CertificatesConflict"


class UnreachableError(CertsError):
    """The API server does not answer, or not now."""

    reason = "ClusterUnreachable"


class ForbiddenError(CertsError):
    """The API server does not let this account do it."""

    reason = "CertificatesForbidden"
    retry = False


class RejectedError(CertsError):
    """The API server refuses the request as it is."""

    reason = "CertificatesRejected"
    retry = False


class PairError(CertsError):
    """Certificate and key cannot be served."""

    reason = "KeyPairUnusable"
    retry = False


class DirectoryError(CertsError):
    """A directory of certificates cannot be read or written."""

    reason = "DirectoryFailed"
    retry = False
