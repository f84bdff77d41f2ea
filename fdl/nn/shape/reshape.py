"""The same values on other axes."""

import math


def flatten(x):
    """All axes but the first as one.  (batch, ...) -> (batch, size)"""
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))
