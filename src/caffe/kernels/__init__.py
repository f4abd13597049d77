"""Kernels of our own in C++, for compiled nets: built on first use with the compiler that torch.compile uses.

They are an addition: where there is no compiler, or one that cannot build them, torch's own operations do the work.
"""
