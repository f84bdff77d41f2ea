"""Write docs/optimizers.md, every optimizer with its picture:  python -m examples.optimizers_page [--text]

--text leaves the pictures as they are, and writes the page alone.
"""

import argparse
import inspect
import re
import textwrap

import jax

from examples.playground import BY_RATE, FIXED, PICTURES, paths
from fdl import optim
from fdl.inspection import landscapes

DOCS = PICTURES.parent
PAGE = DOCS / "optimizers.md"
LANDSCAPE, STEPS = landscapes.beale(), 100
OPTIMIZERS = FIXED | BY_RATE
# Where an optimizer lives in fdl.optim, and the heading it stands under; the first that fits counts.
HEADINGS = {
    "optimizers.course": "The classics",
    "optimizers.descent": "The classics",
    "optimizers.adam": "Adam's family",
    "adaptive": "Adam's family",
    "optimizers.sign": "By signs",
    "optimizers.layer": "By whole arrays, and in less memory",
    "matrix": "Kernels as matrices",
    "curvature": "By second derivatives, with the loss at hand",
    "optimizers.curvature": "By second derivatives, with the loss at hand",
    "learning_rate_free": "With their own learning rate",
    "optimizers.averaged": "Averages, differences, neighbourhoods",
    "averages": "Averages, differences, neighbourhoods",
    "constraints": "Averages, differences, neighbourhoods",
}
HEAD = """# The optimizers

Written by `python -m examples.optimizers_page`, from the docstrings, from the states that `init` makes, and from
[what each is proven against](oracles.md).

In the formulas x are the parameters, f is the loss, g its gradient at x, H its Hessian, Δ what is added to x, and x₀
the first parameters; a prime marks the step before, t counts the steps from 1, and ← is an assignment. Products and
roots go number by number, except of matrices; |·| is a magnitude of numbers and a norm of arrays, ⟨·, ·⟩ an inner
product. A hat corrects a running mean for its start at 0, by its own decay: m̂ = m / (1 − b1ᵗ). Where nothing is
assigned to n, an array has n numbers. The other names are arguments, and what they do is told in the docstrings.

The state is counted for a kernel of 100 × 100: numbers per parameter + single numbers (steps, scales). Errors are the
largest seen over all variants, relative to the largest magnitude. In the pictures each optimizer takes 100 steps on
`landscapes.beale()`, with the learning rate of 1, 2, 5 times powers of ten that is best there; what finds its own
steps runs as it is. The cross is the minimum, and an x at the edge says where a trajectory leaves. `sam` and `asam`
stand around `sgd`, `lookahead` around `momentum`, `mechanic` around `sgd(1.0)`.
"""
LEFT_OUT = """Parts of optimizers, and what goes around any of them: {}. `levenberg_marquardt` and `conjugate_gradient`
solve problems of their own, and are no transforms."""


def constructors() -> list[str]:
    """Every public function that makes a transform."""
    functions = {name: getattr(optim, name) for name in optim.__all__ if inspect.isfunction(getattr(optim, name))}
    return [name for name, made in functions.items() if inspect.signature(made).return_annotation is optim.Transform]


def heading(name: str) -> str:
    place = getattr(optim, name).__module__.removeprefix("fdl.optim.")
    return next(title for room, title in HEADINGS.items() if place.startswith(room))


def sentence(name: str) -> str:
    first = getattr(optim, name).__doc__.splitlines()[0].split(".  ")[0]
    return re.split("; the (?:other )?arguments", first)[0].rstrip(".") + "."


def formula(name: str) -> str:
    paragraphs = inspect.cleandoc(getattr(optim, name).__doc__).split("\n\n")
    return next((text for text in paragraphs if "←" in text or "Δ" in text), "")


def sources(name: str) -> list[str]:
    """The links in the docstring, or in that of the transform it begins with."""
    texts = [getattr(optim, one).__doc__ for one in (name, f"scale_by_{name}") if hasattr(optim, one)]
    found = [re.findall(r"https?://[^\s,]+[^\s,.:;]", text) for text in texts]
    whole = lambda link: link if link.count(")") == link.count("(") else link.rstrip(")")
    return next(([whole(link) for link in links] for links in found if links), [])


def made(name: str) -> optim.Transform:
    return FIXED[name] if name in FIXED else BY_RATE[name](0.1)


def state(name: str) -> str:
    kernel = jax.ShapeDtypeStruct((100, 100), "float32")
    leaves = jax.tree.leaves(jax.eval_shape(made(name).init, {"kernel": kernel}))
    single = sum(leaf.ndim == 0 for leaf in leaves)
    return f"{sum(leaf.size for leaf in leaves if leaf.ndim) / kernel.size:,g} per parameter + {single}"


def oracles(name: str) -> str:
    """The worst error against each oracle, from the rows of the page of oracles."""
    worst = {}
    subjects = {f"optim.{name}", f"optim.scale_by_{name}"}
    another = f"optim.{made(name).call.kind}, {name}"  # muon makes groups
    for row in (DOCS / "oracles.md").read_text().splitlines():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if cells[0].split(",")[0] in subjects or cells[0].startswith(another):
            oracle, error = f"{cells[1]} ({cells[2]})", float(cells[3])
            worst[oracle] = max(error, worst.get(oracle, 0.0))
    return "; ".join(f"{oracle} {error:.1e}" for oracle, error in worst.items())


def entry(name: str) -> str:
    links = ", ".join(f"[{link.split('://')[1]}]({link})" for link in sources(name))
    return f"""### {name}

![{name}](pictures/optimizers/{name}.png)

{sentence(name)}

```text
{formula(name)}
```

- source: {links}
- state: {state(name)}
- oracle, worst error: {oracles(name)}
"""


def page() -> str:
    rooms = list(dict.fromkeys(HEADINGS.values()))
    names = [name for name in constructors() if name in OPTIMIZERS]
    sections = [f"## {room}\n\n" + "\n".join(entry(n) for n in names if heading(n) == room) for room in rooms]
    others = ", ".join(f"`{name}`" for name in constructors() if name not in OPTIMIZERS)
    return "\n".join([HEAD, *sections, "## Left out\n", textwrap.fill(LEFT_OUT.format(others), 120) + "\n"])


def draw(name: str) -> None:
    found = paths([name], LANDSCAPE, STEPS)
    path = PICTURES / "optimizers" / f"{name}.png"
    landscapes.save_picture(path, LANDSCAPE, found, size=(320, 240))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", action="store_true")
    if not parser.parse_args().text:
        (PICTURES / "optimizers").mkdir(parents=True, exist_ok=True)
        for name in OPTIMIZERS:
            draw(name)
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
