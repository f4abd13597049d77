"""Layers that say how wrong the net is."""
