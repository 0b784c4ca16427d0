"""The dependency graph of a model's channels: which must live or die together, and slicing."""
from __future__ import annotations

from .errors import GraphError, NothingToPruneError, ProofError, SliceError, TraceError
from .fixers import Kept, register_fixer
from .graph import ChannelGraph, FrozenEntry, analyze, slice_model
from .memory import proof_folder
from .slicing import slice_units
from .stand_ins import StandIn, register_stand_in
from .units import ChannelUnit, UnitMember

__all__ = ['ChannelGraph', 'ChannelUnit', 'FrozenEntry', 'GraphError', 'Kept',
           'NothingToPruneError', 'ProofError', 'SliceError', 'StandIn', 'TraceError',
           'UnitMember', 'analyze', 'proof_folder', 'register_fixer', 'register_stand_in',
           'slice_model', 'slice_units']
