"""The `chrek` command: the engine on one machine, without a cluster."""
