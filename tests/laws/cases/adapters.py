"""Layers of adapters under the laws of tests/laws/test_layer_laws.py."""

CASES = {}
