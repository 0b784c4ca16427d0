"""Gait recognition: GaitBase and GaitGL under MMEngine, judged by OpenGait's protocols."""
from . import datasets, evaluation, models
from .structures import GaitDataSample

__all__ = ['GaitDataSample', 'datasets', 'evaluation', 'models']
