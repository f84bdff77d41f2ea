"""What `fdl.compile` does to programs for a CPU: the library that computes each product and convolution is chosen, and
sums of products over the steps of a loop become one product.

jaxlib holds three: Eigen, YNN and oneDNN.  XLA asks the second for products and the first for convolutions, and never
the third.  Layers and users know nothing of this; `jax.jit` compiles their programs as XLA would.
"""

from fdl.cpu.choice import wide_products_only
from fdl.cpu.exchange import with_calls
from fdl.cpu.unsaved import HELD, release, unsaved

__all__ = ["HELD", "release", "unsaved", "wide_products_only", "with_calls"]
