"""Running a net: what switches say (mode), what is run (plan, of ops), what was run (trace), and the executor."""
