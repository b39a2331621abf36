"""The node agent: the engine that captures and restores, and what it stands on.

Kept free of imports: agent.inside loads this package in a process that must start fast.
"""
