"""Layers that map every value by itself."""
