"""Rewrites of plans: what makes nets faster or smaller, one a file, all of one interface."""
