"""What can go wrong with the cluster itself."""


class ClusterError(Exception):
    """The cluster cannot be had; the message says which part failed and what it said last."""
