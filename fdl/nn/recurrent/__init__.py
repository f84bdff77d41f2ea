"""Layers that read a sequence step by step and carry what they have read."""

__all__ = []
