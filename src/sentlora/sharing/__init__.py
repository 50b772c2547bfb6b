"""Sharing: the adapter folder on disk."""
