"""Certificates of the webhook: made, kept in one Secret, trusted by the API server, renewed."""
