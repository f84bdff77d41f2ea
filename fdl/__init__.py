"""fdl: deep learning in JAX where configuration is a value, state is a pytree and behaviour is a pure function."""

from fdl import checks, data, losses, metrics, nn, optim, train, tree
from fdl.version import __version__

__all__ = ["nn", "losses", "metrics", "optim", "train", "data", "tree", "checks", "__version__"]
