"""Small changes to large models: low-rank updates, frozen and averaged parameters, fewer bits."""

__all__ = []
