"""Spec chapter "Binary Format": bytes to module and back. Knows syntax, nothing above it."""
