"""The only code that enters a container's namespaces: a fresh, single-threaded process.

Standard library only, and everything imported before entering: afterwards an import would read
the container's files as root.
"""
