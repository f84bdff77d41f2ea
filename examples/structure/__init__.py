"""Choosing the model: activations, outputs, structure."""
