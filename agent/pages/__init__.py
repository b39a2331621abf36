"""Large memory beside CRIU's images: taken out of them at a capture, filled in by threads at a
restore, before any task runs."""
