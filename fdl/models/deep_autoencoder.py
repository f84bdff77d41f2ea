"""The deep autoencoder that began the third wave: a stack of RBMs, unrolled, then fine-tuned by backpropagation.

Hinton & Salakhutdinov 2006, https://doi.org/10.1126/science.1127647
"""

from collections.abc import Sequence
from itertools import pairwise

from fdl.models.dbn import generation, recognition
from fdl.models.rbm import Params
from fdl.nn import Initializer, Layer, dense, layer, normal, serial, sigmoid


@layer
def logistic_net(*dims: int, kernel_init: Initializer = normal(0.01)) -> Layer:
    """Dense layers with a sigmoid between each two, none at the end.  (..., dims[0]) -> (..., dims[-1])

    Raises ValueError for fewer than two sizes.
    """
    if len(dims) < 2:
        raise ValueError(f"a net needs the sizes of its input and of its output, got {dims}")
    first, *others = [dense(a, b, kernel_init=kernel_init) for a, b in pairwise(dims)]
    return serial(first, *(part for each in others for part in (sigmoid, each)))


@layer
def deep_autoencoder(*dims: int, kernel_init: Initializer = normal(0.01)) -> Layer:
    """Logistic layers down to a linear code and up again.  (..., dims[0]) -> logits (..., dims[0])

    deep_autoencoder(784, 1000, 500, 250, 30) is the paper's for handwritten digits; its parts are encoder and decoder.
    """
    encoder = logistic_net(*dims, kernel_init=kernel_init)
    return serial(encoder=encoder, decoder=logistic_net(*dims[::-1], kernel_init=kernel_init))


def unrolled(params: Sequence[Params]) -> dict:
    """Parameters of `deep_autoencoder` from those of a stack of RBMs: up by their kernels, down by the transposed."""
    return {"encoder": as_net(recognition(params)), "decoder": as_net(generation(params)[::-1])}


def as_net(layers: Sequence[Params]) -> dict:
    """Kernels and biases, the first layer first, as parameters of `logistic_net`."""
    return {f"dense_{i}": own for i, own in enumerate(layers)}
