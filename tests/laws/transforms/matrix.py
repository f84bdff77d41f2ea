"""Optimizers that see a kernel as a matrix.  The kernel of the laws is (3, 2), its bias (2,)."""

from fdl import optim
from tests.laws.transform_case import Case

fall = optim.cosine(0.1, 400)
rest = optim.adam(0.1)
MATRICES = 3 * 3 + 2 * 2  # one for each axis of the kernel

# Muon: the velocity of the kernel, 6 numbers, Adam's two of the bias, 4, and three steps.
CASES = {
    "muon": Case(optim.muon(fall, rest=rest), 0, 6 + 4 + 3, lambda rate: optim.muon(rate, rest=rest)),
    "muon, moonshot": Case(optim.muon(fall, rest=rest, adjust="match_rms_adamw", weight_decay=1e-5), 0, 6 + 4 + 3),
    "adamuon": Case(optim.adamuon(fall, rest=rest, weight_decay=0.0), 0, 12 + 4 + 2),
    "galore": Case(optim.galore(fall, 1, every=3, size=1.0), 0, 2 + 6 + 4 + 3, lambda rate: optim.galore(rate, 1)),
    "scion": Case(
        optim.scion(fall, {"**/kernel": optim.spectral_lmo(8.0), "**": optim.row_lmo(4.0)}),
        4,
        2,
        lambda rate: optim.scion(rate, {"**/kernel": optim.spectral_lmo(8.0), "**": optim.row_lmo(4.0)}),
    ),
    "scion, unconstrained": Case(
        optim.scion(fall, {"**/kernel": optim.sign_lmo(3.0), "**": optim.row_lmo(1.0)}, constrained=False), 4, 2
    ),
    "shampoo": Case(optim.shampoo(0.3), 0, 2 * MATRICES + 2 + 1, optim.shampoo),
    "shampoo, diagonal": Case(optim.shampoo(0.3, limit=0), 0, 3 + 2 + 2 + 1),
    "soap": Case(optim.soap(fall, eps=1e-3, weight_decay=0.0, skip_first=False), 8, 2 * MATRICES + 2, optim.soap),
    # A kernel and its bias are one matrix, (4, 2): its two factors, and the inverses of both.
    "kfac": Case(optim.kfac(0.1), 4, 2 * (4 * 4 + 2 * 2) + 2, optim.kfac, needs_loss=True),
    "kron": Case(optim.kron(fall), 4, MATRICES + 2 + 2, optim.kron),
}
