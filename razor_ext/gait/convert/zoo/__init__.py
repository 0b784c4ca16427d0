"""The models of OpenGait that have a counterpart here, one file each."""
from . import baseline, gaitgl

__all__ = ['baseline', 'gaitgl']
