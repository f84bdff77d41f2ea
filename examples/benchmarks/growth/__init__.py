"""How cost grows with depth, batch, width and context."""
