"""Looking into a model without editing it."""

__all__ = []
