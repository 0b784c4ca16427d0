"""The models of OpenGait that have a counterpart here, one file each."""
from . import baseline, deepgaitv2, gaitgl, gaitpart, gaitset, gln, multigaitpp, skeletongaitpp

__all__ = ['baseline', 'deepgaitv2', 'gaitgl', 'gaitpart', 'gaitset', 'gln', 'multigaitpp',
           'skeletongaitpp']
