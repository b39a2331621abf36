"""chrek-init: the C program that is PID 1 (here its source), and how the agent speaks with it."""
