"""Whether a schedule lets SGD forget its noise: sum of rates infinite, sum of their squares finite."""

import math
from typing import Any

from fdl.optim.schedules.phases import join, product, warmup
from fdl.optim.schedules.standard import constant, inverse_sqrt, inverse_time, noam


def satisfies_robbins_monro(schedule: Any) -> bool:
    """Whether the sum of the rates diverges while the sum of their squares converges: SGD then forgets its noise.

    True only where that is known: where the rates end like c / step^p with c > 0 and 1/2 < p <= 1.  The power is known
    of `inverse_time`, `inverse_sqrt` (1/2) and `constant` (0), and of what `warmup`, `join` and `product` make of them.
    https://projecteuclid.org/euclid.aoms/1177729586
    """
    return 0.5 < _power(schedule) <= 1


def _power(schedule: Any) -> float:
    """p where the schedule ends like c / step^p with c > 0; NaN where that is not known."""
    call = getattr(schedule, "call", None)
    if call is None:
        return math.nan
    defaults = {name: parameter.default for name, parameter in call.bound.signature.parameters.items()}
    given = {**defaults, "schedules": (), **call.bound.arguments}
    if call.constructor is warmup:
        return _power(given["schedule"])
    if call.constructor is join:
        return _power(given["schedules"][-1])
    if call.constructor is product:
        return sum(map(_power, given["schedules"]))
    families = {constant: ("value", 0.0), inverse_sqrt: ("peak", 0.5), noam: ("factor", 0.5)}
    families[inverse_time] = ("start", given.get("power", math.nan))
    name, power = families.get(call.constructor, ("", math.nan))
    return power if given.get(name, 0) > 0 else math.nan
