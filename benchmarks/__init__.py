"""How fast is it? ``python -m benchmarks --help``."""
