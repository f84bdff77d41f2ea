"""What can be read out of features: by an affine map, by neighbours, by a hyperplane; and how like others they are."""

from fdl.inspection.readout.linear import Readout, linear_probe, linear_readout
from fdl.inspection.readout.neighbours import nearest_neighbours
from fdl.inspection.readout.separability import Separation, separate
from fdl.inspection.readout.similarity import cka

__all__ = ["linear_probe", "linear_readout", "nearest_neighbours", "separate", "cka", "Readout", "Separation"]
