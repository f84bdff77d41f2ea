"""All landscapes, by name."""

from fdl.inspection.landscapes import classics, shapes
from fdl.inspection.landscapes.landscape import Landscape


def zoo() -> dict[str, Landscape]:
    """Every landscape of two dimensions as it is by default, by its name, from the simple to the wild."""
    made = [
        shapes.bowl(),
        shapes.valley(),
        classics.rosenbrock(),
        classics.beale(),
        classics.himmelblau(),
        classics.rastrigin(),
        shapes.saddle(),
        classics.monkey_saddle(),
        shapes.shallow_minima(),
        shapes.plateau(),
        shapes.cliff(),
    ]
    return {one.kind: one for one in made}
