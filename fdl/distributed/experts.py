"""Experts on different devices: tokens travel to them and their answers back."""

from jax import lax

from fdl.checks import ShapeError
from fdl.nn.layer import Layer, layer


@layer
def expert_parallel(experts: Layer, axis: str) -> Layer:
    """The `each(expert, count)` of a `mixture_of_experts`, spread over an axis of the mesh.  (count, rows, dim) -> same

    For use inside `jax.shard_map`, with parameters split along their leading axis and tokens along any:
    nn.rewire(model, "**/experts", lambda experts: expert_parallel(experts, "expert")).  Each device chooses for its own
    tokens, so in training the room of an expert is a share for each device.  An expert has parts, as `gated_mlp` has.
    Raises ShapeError where the experts do not divide by the devices.  https://arxiv.org/abs/2006.16668
    """

    def apply(params, state, x, *, key=None, train=False):
        size = lax.axis_size(axis)
        if len(x) % size:
            raise ShapeError(f"{len(x)} experts cannot be spread evenly over the {size} devices of {axis!r}")
        rows = lax.all_to_all(x, axis, 0, 1, tiled=True)  # of all devices, for the experts that are here
        y, state = experts.replace(count=len(x) // size).apply(params, state, rows, key=key, train=train)
        return lax.all_to_all(y, axis, 1, 0, tiled=True), state

    return Layer(experts.init, apply, experts.parts, experts.is_pure)
