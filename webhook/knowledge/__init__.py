"""What the webhook knows of the cluster, kept by watches and answered from memory."""
