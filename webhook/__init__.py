"""The admission webhook: turns annotated pods into sources and placeholders."""
