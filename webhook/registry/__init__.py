"""What an image starts, asked of its registry. Off by default; docs/registry-lookup.md."""
