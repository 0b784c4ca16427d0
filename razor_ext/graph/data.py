"""The data of a channel graph: units, costs, canonical ids and frozen dimensions."""
from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from .accounting import Polynomial, activations, polynomials
from .blocks import Block, collect
from .evidence import Evidence
from .flow import Flow
from .naming import name_blocks
from .norms import shares
from .propagate import Frozen
from .stand_ins import orders
from .trace import Program
from .units import ChannelUnit, UnitMember


@dataclasses.dataclass(frozen=True)
class FrozenEntry:
    """A dimension of a parameter that cannot be pruned, at least in part.

    Args:
        parameter: Dotted name of the parameter or buffer.
        dim: The dimension.
        operator: ATen operator that froze it, '' if none did.
        reason: What it does to the channels.
        source: 'file:line' of the call.
        share: Share of the dimension's positions concerned.
    """

    parameter: str
    dim: int
    operator: str
    reason: str
    source: str
    share: float


class GraphData:
    """Units of a model's channels, what they cost and what is frozen.

    Slicing and proofs read it; `ChannelGraph` adds what users call.

    Args:
        model: The traced copy of the model.
        args: Its positional inputs.
        kwargs: Its keyword inputs.
        program: The trace.
        flow: The finished pass over it.
        frozen: What the pass froze.
        free_outputs: Output number -> dimensions of it that may shrink.
        policy: Shape of a split -> the axis that is kept, where it is not the first candidate.

    Attributes:
        units: Prunable units in execution order.
        frozen: Dimensions that are not prunable, with operator and reason.
        refused: Unit name -> why the real module does not follow its graph; these are frozen.
        evidence: What the proof of the units rests on, None if they were not verified.
        total_macs: Multiply-accumulates of the traced input (convolutions, matrix products and
            fused attention).
        total_params: Number of parameters.
        roots: For each unit the canonical ids of its channels.
        splits: Shape of every split of channels by a view -> the axes that could be kept.
    """

    def __init__(self, model: nn.Module, args: tuple, kwargs: dict[str, Any], program: Program,
                 flow: Flow, frozen: Frozen, free_outputs: Mapping[int, Sequence[int]],
                 policy: Mapping[tuple, int]) -> None:
        self.model = model
        self.args = args
        self.kwargs = kwargs
        self.program = program
        self.flow = flow
        self.refused: dict[str, str] = {}
        self.evidence: Evidence | None = None
        self.policy = dict(policy)
        self.splits = dict(frozen.sites)
        self._frozen = frozen
        self._own = {*shares(model), *orders(model)}  # of the traced copy alone
        self._shapes = {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
        self._named = name_blocks(flow, collect(flow, free_outputs))
        self._finish()
        self.drop({unit.name: 'all its positions go together, and something has to stay'
                   for unit in self.units if unit.num_channels == 1})

    def _finish(self) -> None:
        blocks = [block for _, block in self._named]
        self._macs, self._params = polynomials(self.flow, blocks, self._shapes)
        self._activations: Polynomial | None = None
        full = np.array([len(block.roots) for block in blocks], np.int64)
        self.total_macs, self.total_params = self._macs(full), self._params(full)
        self.units: list[ChannelUnit] = []
        for i, (name, block) in enumerate(self._named):
            less = full.copy()
            less[i] -= 1
            self.units.append(ChannelUnit(
                name, len(block.roots), self._members(block, outputs=False),
                self._members(block, outputs=True), self.total_macs - self._macs(less),
                self.total_params - self._params(less)))
        self.roots = [block.roots for block in blocks]
        self._index = {unit.name: i for i, unit in enumerate(self.units)}
        top = max((int(roots.max()) for roots in self.roots), default=-1)
        self._unit_of = np.full(top + 2, -1)  # the last entry stands for all ids beyond
        for i, roots in enumerate(self.roots):
            self._unit_of[roots] = i

    def units_in(self, elements: np.ndarray) -> set[str]:
        """Return the names of the units that have a channel among canonical ids."""
        found = np.unique(self._unit_of[np.minimum(elements, len(self._unit_of) - 1)])
        return {self.units[i].name for i in found if i >= 0}

    def _members(self, block: Block, outputs: bool) -> tuple[UnitMember, ...]:
        members = []
        for (name, dim), indices in block.slots.items():
            is_leaf = name in self.flow.leaves
            if is_leaf is outputs or not isinstance(name, str):
                continue
            role = 'out' if is_leaf and (name, dim) not in self.flow.consumed else 'in'
            members.append(UnitMember(name, dim, torch.from_numpy(indices.copy()), role))
        return tuple(members)

    def drop(self, refused: Mapping[str, str]) -> None:
        """Freeze units by name; `refused` gives the reason of each."""
        if not refused:
            return
        self.refused.update(refused)
        self._named = [(name, block) for name, block in self._named if name not in refused]
        self._finish()

    # ---- what it costs
    def _counts(self, keep_counts: Mapping[str, int]) -> np.ndarray:
        counts = np.array([unit.num_channels for unit in self.units], np.int64)
        for name, count in keep_counts.items():
            if name not in self._index:
                raise KeyError(f'{name!r} is not a unit of this graph; its units are '
                               f'{[unit.name for unit in self.units]}')
            counts[self._index[name]] = count
        return counts

    def macs(self, keep_counts: Mapping[str, int]) -> int:
        """Multiply-accumulates of the traced input with some channels left.

        Args:
            keep_counts: Unit name -> channels that stay; a missing unit stays whole.
        """
        return self._macs(self._counts(keep_counts))

    def params(self, keep_counts: Mapping[str, int]) -> int:
        """Number of parameters with some channels left; see `macs`."""
        return self._params(self._counts(keep_counts))

    def activations(self, keep_counts: Mapping[str, int]) -> int:
        """Elements that convolutions and matrix products return for the traced input; see `macs`.
        """
        if self._activations is None:
            self._activations = activations(self.flow, [block for _, block in self._named])
        return self._activations(self._counts(keep_counts))

    def polynomial(self, kind: str) -> Polynomial:
        """The 'macs' or 'params' polynomial itself, over counts in the order of `units`."""
        return {'macs': self._macs, 'params': self._params}[kind]

    # ---- what is reached
    @property
    def reachable_share(self) -> float:
        """Share of the parameters that some prunable unit touches."""
        reached: dict[str, dict[int, list[torch.Tensor]]] = {}
        for unit in self.units:
            for member in unit.members:
                dims = reached.setdefault(member.name, {})
                dims.setdefault(member.dim, []).append(member.indices.reshape(-1))
        total = got = 0.0
        for name, shape in self._shapes.items():
            size = math.prod(shape)
            missed = 1.0
            for dim, parts in reached.get(name, {}).items():
                missed *= 1 - len(torch.unique(torch.cat(parts))) / shape[dim]
            total += size
            got += size * (1 - missed)
        return got / total if total else 0.0

    @property
    def frozen(self) -> list[FrozenEntry]:
        """Dimensions that are not prunable; kernels and the graph's own buffers aside."""
        entries = []
        for (name, dim), reasons in self._frozen.table.items():
            hit = reasons[reasons > 0]
            if not len(hit) or name in self._own:
                continue
            reason = self.flow.reasons[int(np.bincount(hit).argmax())]
            if reason.text != 'kernel dimension':
                entries.append(FrozenEntry(name, dim, reason.operator, reason.text, reason.source,
                                           len(hit) / len(reasons)))
        return entries
