"""The optimizer's playground: losses of two numbers with known shapes, and where optimizers go on them.

paths = trajectories({"momentum": optim.momentum(0.01), "adam": optim.adam(0.1)}, rosenbrock(), 200)
save_picture("valley.png", rosenbrock(), paths)
"""

from fdl.inspection.landscapes.classics import beale, himmelblau, monkey_saddle, rastrigin, rosenbrock
from fdl.inspection.landscapes.draw import draw, save_picture
from fdl.inspection.landscapes.landscape import Landscape, landscape
from fdl.inspection.landscapes.shapes import bowl, cliff, plateau, quadratic, saddle, shallow_minima, valley
from fdl.inspection.landscapes.trajectory import Trajectory, sweep, trajectories, trajectory
from fdl.inspection.landscapes.zoo import zoo

__all__ = [
    "Landscape",
    "landscape",
    "zoo",
    "quadratic",
    "bowl",
    "valley",
    "rosenbrock",
    "beale",
    "himmelblau",
    "rastrigin",
    "saddle",
    "monkey_saddle",
    "shallow_minima",
    "plateau",
    "cliff",
    "Trajectory",
    "trajectory",
    "trajectories",
    "sweep",
    "draw",
    "save_picture",
]
