"""Is this machine able? Questions asked of the kernel and the tools, each 'no' with its cure."""
