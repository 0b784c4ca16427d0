"""Fisher information of channels, summed over the steps since the last pruning."""
from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from mmengine import dist
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from razor_ext.graph import ChannelGraph
from razor_ext.pruning import ChannelIndex, Criterion, GraphMutator
from razor_ext.pruning.taps import InputTap, ParameterTaps

from .reads import UnitReads, input_channel_dim, tapped_layers

Structure = Mapping[str, int]


def _saved(cost: Callable[[Structure], int], structure: Structure) -> dict[str, float]:
    whole = cost(structure)
    return {name: float(whole - cost({**structure, name: count - 1}))
            for name, count in structure.items()}


def _flops(graph: ChannelGraph, structure: Structure) -> dict[str, float]:
    """MACs that one channel of each unit costs now, in billions."""
    return {name: saved / 1e9 for name, saved in _saved(graph.macs, structure).items()}


def _activations(graph: ChannelGraph, structure: Structure) -> dict[str, float]:
    """Elements that convolutions and products of one sample hold per channel, in millions."""
    whole = {unit.name: unit.num_channels for unit in graph.units}
    return {name: saved / 1e6 for name, saved in _saved(graph.activations, whole).items()}


#: What the Fisher information of a unit may be divided by.
NORMALIZATIONS: Mapping[str, Callable[[ChannelGraph, Structure], dict[str, float]]] = {
    'flops': _flops, 'act': _activations, 'none': lambda graph, structure: {},
}


class FisherCriterion(Criterion):
    """Fisher information, equation 4 of https://arxiv.org/abs/2108.00708.

    Args:
        normalization: what it is divided by: 'flops' (MACs), 'act' (activation memory) or 'none'.

    Attributes:
        info: Float [C], summed since the last pruning.

    Raises:
        ValueError: an unknown normalization.
    """

    info: Tensor

    def __init__(self, normalization: str = 'act') -> None:
        super().__init__()
        if normalization not in NORMALIZATIONS:
            raise ValueError(f'normalization={normalization!r} must be one of '
                             f'{", ".join(NORMALIZATIONS)}')
        self.normalization = normalization
        self.units = nn.ModuleList()
        self._norm: tuple[tuple[int, ...], Tensor] | None = None

    def prepare(self, architecture: nn.Module, mutator: GraphMutator) -> None:
        """Find the layers and parameters that consume each unit; see the base class."""
        graph = mutator.graph
        self._graph = (graph, )  # in a tuple: it describes a structure, which copies share
        self.register_buffer('info', torch.zeros(sum(u.num_channels for u in graph.units)))
        units = [UnitReads(unit, architecture) for unit in graph.units]
        self.units = nn.ModuleList(units)
        layers, parameters = dict(architecture.named_modules()), dict(architecture
                                                                      .named_parameters())
        self._taps = []
        for name in tapped_layers(units):
            dim = input_channel_dim(layers[name])
            assert dim is not None  # or it could not be tapped
            self._taps.append(InputTap(layers[name], name, dim))
        slots = sorted({(member.name, member.dim) for unit in units
                        for member in unit.slices})
        self._slots = ParameterTaps({slot: parameters[slot[0]] for slot in slots})

    def attach(self) -> list[RemovableHandle]:
        """Record the step wherever a unit is consumed; see the base class."""
        return [tap.attach() for tap in self._taps] + self._slots.attach()

    def record(self, index: ChannelIndex, pruned: Tensor, num_samples: int,
               grad_scale: Tensor | float) -> None:
        """Add the Fisher information of the step, summed over all ranks; see the base class."""
        samples = {tap.name: tap.per_sample(num_samples) for tap in self._taps}
        units = [unit for unit in self.units if isinstance(unit, UnitReads)]
        infos = [unit.contributions(samples, self._slots.sums) for unit in units]
        factor = grad_scale * dist.get_world_size()
        flat = torch.cat([info / factor ** (2 if unit.per_sample else 1)
                          for unit, info in zip(units, infos)])
        # An overflowing mixed-precision step is dropped by the optimizer: drop its statistics too.
        flat = torch.where(torch.isfinite(flat).all(), flat, torch.zeros_like(flat))
        dist.all_reduce(flat)
        parts = flat.split(index.sizes)
        info = torch.cat([part if unit.per_sample else part.square()
                          for unit, part in zip(units, parts)])
        self.info += info * ~pruned / self._divisors(index, pruned)
        for tap in self._taps:
            tap.rows = []
        self._slots.sums = {}

    def _divisors(self, index: ChannelIndex, pruned: Tensor) -> Tensor:
        """Return what the information of each channel [C] is divided by."""
        version = (id(pruned), pruned._version)
        if self._norm is None or self._norm[0] != version:
            lost = index.per_unit(pruned).tolist()
            structure = {name: size - gone for name, size, gone
                         in zip(index.unit_names, index.sizes, lost)}
            table = NORMALIZATIONS[self.normalization](self._graph[0], structure)
            values = torch.tensor([table.get(name) or 1.0 for name in index.unit_names],
                                  device=pruned.device)
            sizes = torch.tensor(index.sizes, device=pruned.device)
            self._norm = (version, values.repeat_interleave(sizes))
        return self._norm[1]

    def scores(self, index: ChannelIndex) -> Tensor:
        """Return the information since the last pruning [C]."""
        return self.info

    def reset(self) -> None:
        """Forget the information."""
        self.info.zero_()
