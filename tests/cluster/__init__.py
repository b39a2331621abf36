"""A real Kubernetes on this machine, for tests: its node is a set of namespaces of its own."""
