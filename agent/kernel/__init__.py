"""What the kernel offers, spoken in its own words: system calls, /proc, mounts, cgroups, CPU."""
