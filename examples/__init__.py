"""Runnable examples: one file, one idea."""
