"""What the agent knows: pods of its node, Checkpoints, containers; and who is told of a change."""
