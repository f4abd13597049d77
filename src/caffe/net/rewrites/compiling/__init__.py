"""Nets of the TEST phase as compiled graphs: what becomes a graph, and what in it several layers run as."""
