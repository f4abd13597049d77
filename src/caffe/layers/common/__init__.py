"""Layers with learned weights or lookups over whole vectors."""
