"""Tests. A package, so that tests/webhook and tests/certs do not hide webhook and certs."""
