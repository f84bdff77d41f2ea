"""Nothing is timed before all frameworks were seen to compute the same."""

from collections.abc import Mapping, Sequence

import numpy as np

TOLERANCE = 1e-4


class DisagreementError(RuntimeError):
    """Two frameworks do not compute the same losses from the same weights, so that a ratio would mean nothing."""


def worst_errors(curves: Mapping[str, Sequence[float]], *, tolerance: float = TOLERANCE) -> dict[str, float]:
    """The largest relative error of each peer's losses against those of fdl.

    Raises DisagreementError beyond the tolerance, with the first step that differs, and for losses that are not finite.
    """
    ours = np.asarray(curves["fdl"], float)
    if not len(ours) or not np.isfinite(ours).all():
        raise DisagreementError(f"the losses of fdl must be finite, and at least one, got {ours.tolist()}")
    worst = {}
    for peer, curve in curves.items():
        theirs = np.asarray(curve, float)
        if theirs.shape != ours.shape:
            raise DisagreementError(f"{peer} gave {theirs.size} losses, fdl {ours.size}")
        errors = np.abs(theirs - ours) / np.maximum(np.abs(ours), np.finfo(np.float32).tiny)
        wrong = ~(errors <= tolerance)
        if wrong.any():
            at = int(wrong.argmax())
            raise DisagreementError(
                f"the loss of {peer} at step {at} is {theirs[at]:.7g}, that of fdl {ours[at]:.7g}: "
                f"relative error {errors[at]:.1e}, allowed {tolerance:.0e}; no time is taken"
            )
        if peer != "fdl":
            worst[peer] = float(errors.max())
    return worst
