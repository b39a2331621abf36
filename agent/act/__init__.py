"""What the agent does: restore, capture, learn, report, collect."""
