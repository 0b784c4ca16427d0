"""Gait recognition: GaitBase and GaitGL under MMEngine, judged by OpenGait's protocols."""
from . import datasets, evaluation, hooks, models
from .structures import GaitDataSample

__all__ = ['GaitDataSample', 'datasets', 'evaluation', 'hooks', 'models']
