"""torch's recurrent layers as functions of our parameters, and parameters as flat lists of arrays."""

import jax
import jax.numpy as jnp
import numpy as np

from fdl import tree


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def flat(layer, seed=0):
    """(arrays of random values, the function that makes params of them)"""
    shapes, _ = jax.eval_shape(layer.init, jax.random.key(0))
    leaves, structure = jax.tree.flatten(shapes)
    arrays = [normal(seed + i, *leaf.shape) * 0.5 for i, leaf in enumerate(leaves)]
    return arrays, lambda arrays: jax.tree.unflatten(structure, arrays)


def runs(layer, params_of, count):
    """The layer as a function of its `count` flat parameters and its inputs; a carry comes out as its arrays."""

    def run(*arrays):
        y, _ = layer.apply(params_of(list(arrays[:count])), {}, *arrays[count:])
        return tuple(jax.tree.leaves(y)) if isinstance(y, tuple) else y

    return run


def loop(step, carry, x):
    """The outputs (batch, time, ...) of step(carry, x) -> (carry, y), in torch or NumPy's own loop."""
    import torch

    outputs = []
    for t in range(x.shape[1]):
        carry, y = step(carry, x[:, t])
        outputs.append(y)
    return torch.stack(outputs, 1), carry


def weights(kind, params, suffix="l0"):
    """Our params of one cell by torch's names."""
    import torch

    named = {
        f"weight_ih_{suffix}": params["input"]["kernel"].T,
        f"weight_hh_{suffix}": params["recurrent"]["kernel"].T,
        f"bias_ih_{suffix}": params["input"]["bias"],
        f"bias_hh_{suffix}": torch.zeros_like(params["input"]["bias"]),
    }
    if kind == "GRU":
        own = params["recurrent"]["bias"]
        named[f"bias_hh_{suffix}"] = torch.cat([torch.zeros_like(own), torch.zeros_like(own), own])
    if "output" in params:
        named[f"weight_hr_{suffix}"] = params["output"]["kernel"].T
    return named


def call(kind, named, x, carry=None, lengths=None, dim=4, **options):
    """(y, carry) of torch.nn.RNN, LSTM or GRU with these weights; with lengths on the packed sequence."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    module = getattr(torch.nn, kind)(x.shape[-1], dim, batch_first=True, **options).to(x.dtype)
    time = x.shape[1]
    if lengths is not None:
        x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, carry = torch.func.functional_call(module, named, (x, carry))
    if lengths is not None:
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=time)
    return y, carry


def close(a, b, **tolerance):
    usual = {"rtol": 1e-5, "atol": 1e-6}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **(usual | tolerance)), a, b)


def made(layer, seed=0):
    """Params of a layer with random biases too."""
    arrays, params_of = flat(layer, seed)
    return tree.cast(params_of([jnp.asarray(a) for a in arrays]), jnp.float32)
