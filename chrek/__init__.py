"""What the webhook, the agent and the `chrek` command share: names, ids, errors, the manifest."""

__version__ = "0.1.0"
