"""Known models: definitions that this package writes itself, and a catalogue of what others published."""
