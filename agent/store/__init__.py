"""Checkpoints on disk: staged, hashed, published whole or not at all, verified before use."""
