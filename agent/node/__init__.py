"""The process of the DaemonSet: what a node needs before anything is captured on it."""
