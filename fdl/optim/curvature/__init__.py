"""Second derivatives without matrices, and the optimizers that use them."""

from fdl.optim.curvature.conjugate_gradient import (
    ConjugateGradientState,
    Iterate,
    conjugate_gradient,
    nonlinear_conjugate_gradient,
    scale_by_conjugate_gradient,
)
from fdl.optim.curvature.diagonal import SophiaState, scale_by_adahessian, scale_by_sophia
from fdl.optim.curvature.least_squares import LeastSquares, levenberg_marquardt
from fdl.optim.curvature.line_search import (
    LineSearch,
    LineSearchState,
    backtracking,
    require_loss,
    scale_by_backtracking_line_search,
    scale_by_zoom_line_search,
    strong_wolfe,
)
from fdl.optim.curvature.newton import HessianFreeState, hessian_free, newton_cg, scale_by_newton_cg
from fdl.optim.curvature.products import (
    Lanczos,
    empirical_fisher_diagonal,
    gauss_newton_vector_product,
    hessian_diagonal,
    hessian_vector_product,
    lanczos,
    power_iteration,
)
from fdl.optim.curvature.quasi_newton import BFGSState, LBFGSState, bfgs, lbfgs, scale_by_bfgs, scale_by_lbfgs
from fdl.optim.curvature.repeat import repeat

__all__ = [
    "scale_by_adahessian",
    "scale_by_sophia",
    "hessian_diagonal",
    "empirical_fisher_diagonal",
    "bfgs",
    "lbfgs",
    "nonlinear_conjugate_gradient",
    "newton_cg",
    "hessian_free",
    "repeat",
    "scale_by_bfgs",
    "scale_by_lbfgs",
    "scale_by_conjugate_gradient",
    "scale_by_newton_cg",
    "scale_by_backtracking_line_search",
    "scale_by_zoom_line_search",
    "require_loss",
    "backtracking",
    "strong_wolfe",
    "conjugate_gradient",
    "levenberg_marquardt",
    "hessian_vector_product",
    "gauss_newton_vector_product",
    "lanczos",
    "power_iteration",
    "LineSearch",
    "LineSearchState",
    "Iterate",
    "ConjugateGradientState",
    "BFGSState",
    "LBFGSState",
    "HessianFreeState",
    "LeastSquares",
    "Lanczos",
    "SophiaState",
]
