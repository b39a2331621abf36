"""What the agent tells the cluster: Events, the pod's condition, the status of Checkpoints."""
