"""Directions of a kernel as a matrix: orthogonal, or in the axes of its own second moments, or of its layer's."""

from fdl.optim.matrix.adamuon import AdaMuonState, adamuon, scale_by_adamuon
from fdl.optim.matrix.kfac import KfacState, kfac, scale_by_kfac
from fdl.optim.matrix.kron import KronState, falling_probability, kron, scale_by_kron
from fdl.optim.matrix.low_rank import LowRankState, galore, low_rank
from fdl.optim.matrix.orthogonal import muon, newton_schulz, orthogonalize, scale_by_muon
from fdl.optim.matrix.scion import column_lmo, lmo, row_lmo, scale_by_lmo, scion, sign_lmo, spectral_lmo
from fdl.optim.matrix.shampoo import ShampooState, inverse_root, scale_by_shampoo, shampoo
from fdl.optim.matrix.soap import SoapState, scale_by_soap, soap

__all__ = [
    "muon",
    "scion",
    "shampoo",
    "soap",
    "kron",
    "kfac",
    "scale_by_muon",
    "orthogonalize",
    "newton_schulz",
    "scale_by_lmo",
    "scale_by_shampoo",
    "scale_by_soap",
    "scale_by_kron",
    "scale_by_kfac",
    "lmo",
    "spectral_lmo",
    "sign_lmo",
    "row_lmo",
    "column_lmo",
    "falling_probability",
    "ShampooState",
    "SoapState",
    "KronState",
    "adamuon",
    "scale_by_adamuon",
    "inverse_root",
    "AdaMuonState",
    "low_rank",
    "galore",
    "LowRankState",
    "KfacState",
]
