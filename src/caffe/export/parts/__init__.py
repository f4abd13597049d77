"""Modules with nothing but torch in them: what exported source code brings along where torch.nn has no such module."""
