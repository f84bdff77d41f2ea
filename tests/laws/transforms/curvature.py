"""Optimizers that take the loss more than once per update."""

from fdl import optim
from tests.laws.transform_case import Case


def searched(*transforms):
    return optim.chain(*transforms, optim.sgd(1.0), optim.scale_by_zoom_line_search())


SEARCH = 3  # counters of a line search

CASES = {
    "backtracking": Case(
        optim.chain(optim.sgd(1.0), optim.scale_by_backtracking_line_search(decrease=0.3)),
        0,
        SEARCH,
        needs_loss=True,
    ),
    "zoom": Case(searched(), 0, SEARCH, needs_loss=True),
    "nonlinear cg, pr+": Case(optim.nonlinear_conjugate_gradient(), 8, 2 + SEARCH, needs_loss=True),
    "nonlinear cg, fr": Case(optim.nonlinear_conjugate_gradient("fr", restart=8), 8, 2 + SEARCH, needs_loss=True),
    "nonlinear cg, hs": Case(optim.nonlinear_conjugate_gradient("hs"), 8, 2 + SEARCH, needs_loss=True),
    "nonlinear cg, three per batch": Case(optim.nonlinear_conjugate_gradient(line_searches=3), 0, 0, needs_loss=True),
    # Eight parameters: the inverse Hessian holds eight numbers for each.
    "bfgs": Case(optim.bfgs(), 8 + 4 * 8, 1 + SEARCH, needs_loss=True),
    "lbfgs": Case(optim.lbfgs(3), 8 + 2 * 3 * 4, 1 + 3 + SEARCH, needs_loss=True),
    "bfgs, damped": Case(optim.bfgs(damping=0.2), 8 + 4 * 8, 1 + SEARCH, needs_loss=True),
    "lbfgs, damped": Case(optim.lbfgs(3, damping=0.2), 8 + 2 * 3 * 4, 1 + 3 + SEARCH, needs_loss=True),
    "repeat": Case(optim.repeat(optim.lbfgs(2), 2), 0, 0, needs_loss=True),
    "newton_cg": Case(optim.newton_cg(), 0, SEARCH, needs_loss=True),
    "hessian_free": Case(optim.hessian_free(max_steps=8), 4, 3, needs_loss=True),
    "hessian_free, preconditioned": Case(optim.hessian_free(max_steps=8, precondition=0.75), 4, 3, needs_loss=True),
    "proximal_gradient": Case(optim.proximal_gradient(0.4, optim.soft_threshold(1e-6)), 0, 0),
    "proximal_gradient, accelerated": Case(
        optim.proximal_gradient(0.4, optim.soft_threshold(1e-6), accelerate=True), 4, 1
    ),
}
