"""Pictures of a reconstruction: map, uncertainty, resolution, all in one figure."""

from fslice.plot.curves import Curve, draw_curves, half_map_curves
from fslice.plot.summary import summary_figure

__all__ = ["Curve", "draw_curves", "half_map_curves", "summary_figure"]
