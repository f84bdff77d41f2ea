"""Optimizers on landscapes, as pictures:

python examples/playground.py                                          the lecture's four, and the whole zoo
python examples/playground.py --landscape beale --optimizers adam momentum=0.001 lbfgs [--steps 100] [--out FILE]

NAME=RATE has this learning rate; a NAME alone gets the best of 1, 2, 5 times powers of ten on this landscape.
"""

import argparse
import difflib
import inspect
import itertools
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from fdl import optim
from fdl.inspection import landscapes
from fdl.inspection.landscapes import Landscape, Trajectory
from fdl.inspection.landscapes.draw import COLOURS

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
RATES = [m * 10.0**k for k in range(-4, 3) for m in (1, 2, 5)]

# Complete as they are: they find their own steps, or want a plain number for a rate.
FIXED = {
    "asgd": optim.asgd(0.02, start=50),
    "fromage": optim.fromage(0.05),
    "bfgs": optim.bfgs(),
    "lbfgs": optim.lbfgs(),
    "nonlinear_conjugate_gradient": optim.nonlinear_conjugate_gradient(),
    "newton_cg": optim.newton_cg(),
    "hessian_free": optim.hessian_free(),
    "ftrl": optim.ftrl(0.5),
    "cocob": optim.cocob(),
    "dadapt_adamw": optim.dadapt_adamw(),
    "prodigy": optim.prodigy(correct_bias=True),
    "dog": optim.dog(initial=1e-2),
    "dowg": optim.dowg(),
    "polyak_sgd": optim.polyak_sgd(),
    "momo": optim.momo(),
    "mechanic": optim.mechanic(optim.sgd(1.0), initial=1e-2),
}
# Made of a rate and something else.
BY_RATE: dict[str, Callable] = {
    "rprop": lambda size: optim.rprop(size),
    "muon": lambda rate: optim.muon(rate, rest=None),
    "adamuon": lambda rate: optim.adamuon(rate, rest=None),
    "larc": lambda rate: optim.larc(rate, coefficient=0.01),
    "scion": lambda rate: optim.scion(rate, {"**": optim.spectral_lmo(4.0)}),
    "proximal_gradient": lambda rate: optim.proximal_gradient(rate, optim.soft_threshold(0.01), accelerate=True),
    "sam": lambda rate: optim.sam(optim.sgd(rate)),
    "asam": lambda rate: optim.asam(optim.sgd(rate)),
    "lookahead": lambda rate: optim.lookahead(optim.momentum(rate)),
}
# What is shown of the zoo, with rates at which the lesson is seen.
ZOO = {
    "bowl": "sgd=0.2 momentum=0.05 nesterov=0.05 adam=0.2",
    "valley": "sgd=0.03 momentum=0.01 nesterov=0.01 adam=0.1",
    "rosenbrock": "sgd=0.002 momentum=0.0005 nesterov=0.001 adam=0.1 lbfgs",
    "beale": "sgd=0.005 momentum=0.002 nesterov=0.002 adam=0.1",
    "himmelblau": "sgd=0.02 momentum=0.01 nesterov=0.01 adam=1",
    "rastrigin": "sgd=0.003 momentum=0.001 nesterov=0.001 adam=0.3",
    "saddle": "sgd=0.1 momentum=0.03 nesterov=0.03 adam=0.1",
    "monkey_saddle": "sgd=0.05 momentum=0.01 nesterov=0.01 adam=0.02",
    "shallow_minima": "sgd=0.1 momentum=0.1 nesterov=0.1 adam=0.5",
    "plateau": "sgd=0.5 momentum=0.2 adam=0.1 sign_sgd=0.1",
    "cliff": "sgd=0.1 momentum=0.1 nesterov=0.1 adam=0.1",
}


def is_by_rate(name: str) -> bool:
    made = getattr(optim, name)
    return (
        name[:6] != "scale_"
        and inspect.isfunction(made)
        and next(iter(inspect.signature(made).parameters), "") == ("learning_rate")
    )


BY_RATE = {name: getattr(optim, name) for name in optim.__all__ if is_by_rate(name) and name not in FIXED} | BY_RATE


def chosen(name: str, among: Iterable[str]) -> str:
    """The name, if it is one of these."""
    if name in among:
        return name
    near = difflib.get_close_matches(name, list(among), 1, 0.0)[0]
    raise SystemExit(f"there is no {name!r}; did you mean {near!r}?  All are: {', '.join(sorted(among))}")


def best(make: Callable, landscape: Landscape, steps: int) -> tuple[float, Trajectory]:
    """The rate with the lowest mean logarithm of the height on the way; outside of the box counts as the start."""
    paths = Trajectory(*map(np.asarray, landscapes.sweep(make, landscape, RATES, steps)))
    low, high = np.array(landscape.box).T
    inside = np.logical_and.accumulate(((paths.points >= low) & (paths.points <= high)).all(-1), -1)
    values = np.where(inside, paths.values, paths.values[:, :1])
    floor = min([values.min(), *(float(landscape.function(jnp.array(point))) for point in landscape.minima)])
    first = int(np.log(values - floor + 1e-6).mean(1).argmin())
    return RATES[first], Trajectory(paths.points[first], paths.values[first])


def paths(names: Iterable[str], landscape: Landscape, steps: int) -> dict[str, Trajectory]:
    """The trajectories of NAME or NAME=RATE, under what to call them."""
    found = {}
    for text in names:
        name, _, rate = text.partition("=")
        if chosen(name, FIXED | BY_RATE) in FIXED:
            found[name] = landscapes.trajectory(FIXED[name], landscape, steps)
        elif rate:
            found[f"{name} {rate}"] = landscapes.trajectory(BY_RATE[name](float(rate)), landscape, steps)
        else:
            number, path = best(BY_RATE[name], landscape, steps)
            found[f"{name} {number:g}"] = path
    return found


def lecture() -> None:
    """A large and a small learning rate, momentum, Nesterov, in the same valley."""
    valley = landscapes.valley()
    for file, title, optimizer in [
        ("large_rate", "large learning rate: from wall to wall", optim.sgd(0.048)),
        ("small_rate", "small learning rate: no progress along the floor", optim.sgd(0.004)),
        ("momentum", "momentum: the walls cancel, the floor adds up", optim.momentum(0.004, 0.9)),
        ("nesterov", "Nesterov: looks ahead, and swings less", optim.nesterov(0.004, 0.9)),
    ]:
        path = landscapes.trajectory(optimizer, valley, 60)
        name = f"{optimizer!r}, 60 steps"
        colours = colours_of([optimizer.call.kind])
        landscapes.save_picture(PICTURES / f"{file}.png", valley, {name: path}, title=title, colours=colours)


def colours_of(names: Iterable[str]) -> list[str]:
    """The same colour for the same classic in every picture; the others take what is left."""
    classics = dict(zip(["sgd", "momentum", "nesterov", "adam"], COLOURS))
    used = {classics.get(name) for name in names}
    free = itertools.cycle([colour for colour in (*COLOURS[4:], *COLOURS[:4]) if colour not in used])
    return [classics.get(name) or next(free) for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--landscape", metavar="NAME")
    parser.add_argument("--optimizers", metavar="NAME", nargs="+", default=[])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", metavar="FILE", type=Path)
    given = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    zoo = landscapes.zoo()
    if given.landscape is None:
        lecture()
    for name in zoo if given.landscape is None else [chosen(given.landscape, zoo)]:
        out = given.out or PICTURES / f"{name}.png"
        found = paths(given.optimizers or ZOO[name].split(), zoo[name], given.steps)
        colours = colours_of([label.split()[0] for label in found])
        title = textwrap.fill(f"{name}: {zoo[name].lesson}", 66)
        landscapes.save_picture(out, zoo[name], found, title=title, colours=colours)
        print(out)


if __name__ == "__main__":
    main()
