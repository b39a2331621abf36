"""CRIU as chrek brings it: the bundle, its RPC, its images, its log."""
