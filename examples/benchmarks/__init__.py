"""Measurements, side by side in one run: ratios, not absolute times.

`python -m examples.benchmarks` compares fdl with its peers; the other programs here measure one thing of fdl alone.
"""
