"""Gait recognition: GaitBase and GaitGL under MMEngine, judged by OpenGait's protocols."""
from . import models
from .structures import GaitDataSample

__all__ = ['GaitDataSample', 'models']
