"""Programs on a GPU: chrek, and bare CRIU between the driver's own calls, beside raw copies."""
