"""Gait recognition: GaitBase and GaitGL under MMEngine, judged by OpenGait's protocols."""
from . import datasets, evaluation, hooks, models
from .quantized import QuantPartLinear
from .structures import GaitDataSample

__all__ = ['GaitDataSample', 'QuantPartLinear', 'datasets', 'evaluation', 'hooks', 'models']
