"""A flat index over the parameters of all channels of all units.

Every figure per channel is computed from sums per position (one reduction per parameter), one
concatenation and one gather through a padded table: no Python loop over channels, no atomics (the
same bits on every run), no host synchronisation.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from razor_ext.graph import ChannelUnit

from .slices import ChannelSlices


@dataclass(frozen=True)
class IndexedParameter:
    """A parameter whose positions along one dimension belong to channels.

    Args:
        name: Dotted parameter name.
        param: The parameter itself.
        dim: The dimension.
        channels: LongTensor [param.shape[dim]] on the CPU: flat channel of each position; positions
            that belong to none hold the number of channels.
    """

    name: str
    param: Tensor
    dim: int
    channels: Tensor

    @property
    def is_vector(self) -> bool:
        """Whether each position is a single element (a bias, a norm's affine)."""
        return self.param.numel() == self.param.shape[self.dim]

    def per_position(self, values: Tensor) -> Tensor:
        """Sum ``values`` (shape of the parameter) over every dimension but ``dim``."""
        if self.is_vector:
            return values.reshape(-1)
        return values.sum([d for d in range(values.dim()) if d != self.dim])

    def broadcast(self, vector: Tensor) -> Tensor:
        """Shape a vector over positions so that it broadcasts against the parameter."""
        shape = [1] * self.param.dim()
        shape[self.dim] = self.param.shape[self.dim]
        return vector.view(shape)


def padded_table(owners: Tensor, num_owners: int) -> Tensor:
    """Positions of each owner, padded with ``len(owners)``.

    Args:
        owners: LongTensor [T], owner of each position; ``num_owners`` stands for nobody.
        num_owners: Number of rows of the table.

    Returns:
        LongTensor [num_owners, largest number of positions of one owner], at least one column.
    """
    counts = torch.bincount(owners, minlength=num_owners + 1)[:num_owners]
    width = max(int(counts.max()), 1) if num_owners else 1
    table = torch.full((num_owners, width), owners.numel(), dtype=torch.long)
    order = torch.argsort(owners, stable=True)[:int(counts.sum())]
    rows = owners[order]
    starts = torch.cumsum(counts, 0) - counts
    table[rows, torch.arange(order.numel()) - starts[rows]] = order
    return table


def gather_sums(values: Sequence[Tensor], table: Tensor) -> Tensor:
    """Sum concatenated ``values`` by the rows of a :func:`padded_table`."""
    flat = torch.cat([*values, values[0].new_zeros(1)])
    return flat[table].sum(1)


class ChannelIndex:
    """Channels of all units as one flat list, over the parameters that produce them.

    Only members with role ``'out'`` belong to a channel: weights that produce it, biases and norm
    affines. What consumes a channel (``'in'``) is neither scored nor forgotten, but zeroed with it.
    Buffers follow when the model is sliced. The GETA paper calls a channel of a unit a group.

    Args:
        units: Channel units, in order; see :class:`razor_ext.graph.ChannelUnit`.
        named_parameters: The model's parameters by dotted name.
        buffer_names: Dotted names of the model's buffers (members that are no parameters).
        shares: The buffers of its mask-aware norms by dotted name; see `set_shares`.

    Raises:
        ValueError: No unit, an unknown name, positions out of range, an element in two channels, a
            unit without parameters, or parameters on more than one device.
    """

    def __init__(self, units: Sequence[ChannelUnit],
                 named_parameters: Mapping[str, Tensor] | Iterable,
                 buffer_names: Iterable[str] = (),
                 shares: Mapping[str, Tensor] | None = None) -> None:
        if not units:
            raise ValueError('no prunable unit: nothing could be pruned; look at the frozen '
                             'parameters the dependency graph reports')
        parameters, buffers = dict(named_parameters), frozenset(buffer_names)
        self.unit_names = [unit.name for unit in units]
        if len(set(self.unit_names)) != len(self.unit_names):
            raise ValueError('two units bear the same name')
        self.sizes = [int(unit.num_channels) for unit in units]
        self.starts = [sum(self.sizes[:i]) for i in range(len(self.sizes))]
        #: Number of channels C of all units.
        self.total = sum(self.sizes)
        owners: dict[str, Tensor] = {}
        dims: dict[str, int] = {}
        for unit, start in zip(units, self.starts):
            self._add_unit(unit, start, parameters, buffers, owners, dims)
        self.entries = [IndexedParameter(name, parameters[name], dims[name], numbers)
                        for name, numbers in owners.items()]
        self.consumers = ChannelSlices(units, self.starts, self.total, parameters, role='in')
        #: Shares of the channels in mask-aware norms, one tensor per norm.
        self.shares = list((shares or {}).values())
        self._shared = ChannelSlices(units, self.starts, self.total, shares or {})
        self._check_identity()
        self._build()

    def _add_unit(self, unit: ChannelUnit, start: int, parameters: Mapping[str, Tensor],
                  buffers: frozenset, owners: dict[str, Tensor], dims: dict[str, int]) -> None:
        found = False
        for member in unit.members:
            if member.role != 'out' or member.name in buffers:
                continue
            if member.name not in parameters:
                raise ValueError(f'unit {unit.name} names {member.name}, which is neither a '
                                 'parameter nor a buffer of the model')
            found = True
            size = parameters[member.name].shape[member.dim]
            indices = member.indices.cpu()
            if indices.shape[0] != unit.num_channels:
                raise ValueError(f'unit {unit.name} has {unit.num_channels} channels, its member '
                                 f'{member.name} lists {indices.shape[0]}')
            if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < size:
                raise ValueError(f'unit {unit.name}: positions of {member.name} leave [0, {size})')
            if dims.setdefault(member.name, member.dim) != member.dim:
                raise ValueError(f'{member.name} is indexed along dimensions {dims[member.name]} '
                                 f'and {member.dim}: its elements would be in two channels')
            numbers = owners.setdefault(
                member.name, torch.full((size,), self.total, dtype=torch.long))
            flat = indices.reshape(-1)
            if (numbers[flat] != self.total).any() or flat.unique().numel() != flat.numel():
                raise ValueError(f'elements of {member.name} are in two channels (the second is in '
                                 f'unit {unit.name})')
            channels = torch.arange(unit.num_channels) + start
            numbers[flat] = channels.repeat_interleave(indices[0].numel())
        if not found:
            raise ValueError(f'unit {unit.name} has no parameter that produces its channels')

    def _check_identity(self) -> None:
        seen: dict[int, str] = {}
        for entry in self.entries:
            other = seen.setdefault(id(entry.param), entry.name)
            if other != entry.name:
                raise ValueError(f'{entry.name} and {other} are one tensor: its elements would be '
                                 'counted twice')
        devices = {entry.param.device for entry in self.entries}
        if len(devices) > 1:
            raise ValueError('indexed parameters lie on several devices: '
                             f'{sorted(map(str, devices))}')
        self.device = devices.pop()

    def _build(self) -> None:
        owners = torch.cat([entry.channels for entry in self.entries])
        per_position = torch.cat([
            torch.full((e.channels.numel(),), e.param.numel() // e.channels.numel())
            for e in self.entries])
        table = padded_table(owners, self.total)
        #: Elements per channel [C].
        self.counts = gather_sums([per_position.float()], table).to(self.device)
        #: Unit of each channel [C].
        self.unit_of = torch.arange(len(self.sizes)).repeat_interleave(torch.tensor(self.sizes))
        self._owners = owners.to(self.device)
        self._table = table.to(self.device)
        self._factors = torch.ones(owners.numel(), device=self.device)
        self._factor_views = [entry.broadcast(part) for entry, part in zip(
            self.entries, self._factors.split([e.channels.numel() for e in self.entries]))]

    @property
    def params(self) -> list[Tensor]:
        """The indexed parameters, in the order every list of tensors below follows."""
        return [entry.param for entry in self.entries]

    def dots(self, left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
        """Inner products [C] of two lists of tensors shaped as ``params``."""
        return gather_sums([entry.per_position((a * b).float())
                            for entry, a, b in zip(self.entries, left, right)], self._table)

    def sums(self, values: Sequence[Tensor | None]) -> Tensor:
        """Sum values over each channel [C]; None stands for zeros.

        Args:
            values: One tensor per parameter of ``params``, of its shape.
        """
        return gather_sums([
            entry.per_position(value.float()) if value is not None else
            torch.zeros(entry.param.shape[entry.dim], device=self.device)
            for entry, value in zip(self.entries, values)], self._table)

    def position_sums(self, values: Sequence[Tensor]) -> Tensor:
        """Sum values that are given per position of each parameter's dimension [C]."""
        return gather_sums(list(values), self._table)

    def norms(self, tensors: Sequence[Tensor] | None = None) -> Tensor:
        """Euclidean norms [C] of ``tensors``, by default of the parameters."""
        tensors = self.params if tensors is None else tensors
        return self.dots(tensors, tensors).sqrt()

    @torch.no_grad()
    def scale_(self, factors: Tensor) -> None:
        """Multiply each channel of the parameters by its factor.

        Args:
            factors: Float tensor [C].
        """
        padded = torch.cat([factors, factors.new_ones(1)])
        torch.index_select(padded, 0, self._owners, out=self._factors)
        torch._foreach_mul_(self.params, self._factor_views)

    @torch.no_grad()
    def zero_(self, channels: Tensor) -> None:
        """Zero channels where they are produced and where they are consumed.

        Args:
            channels: Bool tensor [C].
        """
        self.scale_((~channels).float())
        self.consumers.zero_(channels)

    @torch.no_grad()
    def set_shares(self, shares: Tensor) -> None:
        """Set how much each channel counts in the statistics of mask-aware norms.

        Args:
            shares: Float [C]: 1 for a channel that stays, 0 for one that is removed.
        """
        if self.shares:
            torch._foreach_zero_(self.shares)
            torch._foreach_add_(self.shares, 1)
            self._shared.scale_(shares)

    def zeros(self) -> Tensor:
        """Bool [C]: channels all of whose elements are exactly 0."""
        counts = gather_sums([e.per_position((e.param.detach() != 0).float())
                              for e in self.entries], self._table)
        return counts == 0

    def per_unit(self, channels: Tensor) -> Tensor:
        """Count marked channels per unit: bool [C] -> long [number of units], on the CPU."""
        return torch.bincount(self.unit_of[channels.cpu()], minlength=len(self.sizes))

    def keep_masks(self, pruned: Tensor) -> dict[str, Tensor]:
        """Bool mask of surviving channels per unit name, from pruned channels bool [C]."""
        return dict(zip(self.unit_names, (~pruned.cpu()).split(self.sizes)))
