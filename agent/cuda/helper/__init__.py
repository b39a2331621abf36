"""A process that has CUDA and NVML loaded, so that nothing of theirs is in the agent's own."""
