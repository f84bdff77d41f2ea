"""Attention, positions, and the blocks made of them."""

__all__ = []
