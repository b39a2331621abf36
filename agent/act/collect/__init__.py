"""Removes checkpoints: those that were deleted, and those that are more than is kept."""
