"""How long models and layers take, and what follows: speed-ups, tables, divisors."""
from .timing import Spread, interleave, speedups, time_onnx

__all__ = ['Spread', 'interleave', 'speedups', 'time_onnx']
