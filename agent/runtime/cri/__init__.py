"""The node's container runtime as the kubelet sees it: the Container Runtime Interface."""

import os

# Read once, when grpc is imported. The agent starts child processes all the time, none of which
# calls gRPC: its handlers around fork() are only a way to block there.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# What goes wrong becomes an error of ours; gRPC's own lines on stderr have no fields.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
