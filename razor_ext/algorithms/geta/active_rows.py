"""Rows of active groups: read before and after the plain step, and moved toward zero."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

import torch
from torch import Tensor

from razor_ext.pruning.channel_index import (
    ChannelIndex,
    IndexedParameter,
    gather_sums,
    padded_table,
)

from .forgetting import ForgetRule
from .projection import BitBank

# What torch's fused operations take.
Tensors = Union[tuple[Tensor, ...], list[Tensor]]


@dataclass
class Scales:
    """Scales of quantized weights at one time, concatenated; ``t`` is None where all are 1."""

    d: Tensor
    q_m: Tensor
    t: Tensor | None


@dataclass
class _Rows:
    """Active rows of one weight."""

    entry: IndexedParameter
    rows: Tensor
    quantizer: int | None

    def take(self, values: Tensor) -> Tensor:
        first = values.movedim(self.entry.dim, 0) if self.entry.dim else values
        return first.index_select(0, self.rows)

    def put_(self, values: Tensor) -> None:
        param = self.entry.param
        target = param.movedim(self.entry.dim, 0) if self.entry.dim else param
        target.index_copy_(0, self.rows, values.view(-1, *target.shape[1:]))


class ActiveRows:
    """Rows of the active groups, laid out once when a period opens.

    Weights have a rate each; biases and norm affines share one per unit.

    Args:
        index: Groups.
        active: Bool [G].
        bank: Quantizers; None where nothing is quantized.
        stairs: Stairs of the bit ceiling, all of which lie behind.
    """

    def __init__(self, index: ChannelIndex, active: Tensor, bank: BitBank | None,
                 stairs: int) -> None:
        marked = torch.cat([active.cpu(), torch.zeros(1, dtype=torch.bool)])
        by_weight = {} if bank is None else {
            id(h.weight): i for i, h in enumerate(bank.handles) if h.weight is not None}
        weights: list[tuple[int, _Rows]] = []
        self._vectors: list[tuple[int, Tensor]] = []
        owners: list[Tensor] = []
        units = torch.cat([index.unit_of, torch.tensor([len(index.sizes)])])
        for place, entry in enumerate(index.entries):
            hit = marked[entry.channels]
            if not hit.any():
                continue
            quantizer = by_weight.get(id(entry.param))
            if entry.is_vector and quantizer is None:
                self._vectors.append((place, entry.param))
                owners.append(torch.where(hit, units[entry.channels], len(index.sizes)))
            else:
                rows = hit.nonzero().flatten().to(index.device)
                weights.append((place, _Rows(entry, rows, quantizer)))
        # Quantized ones first: the residual exists for a prefix of the flat layout.
        weights.sort(key=lambda item: item[1].quantizer is None)
        self._weights = weights
        self._sizes = [w.take(w.entry.param).numel() for _, w in weights]
        self._quantized = [w for _, w in weights if w.quantizer is not None]
        self._prefix = sum(self._sizes[:len(self._quantized)])
        self._bank: BitBank | None = None
        if bank is not None and self._quantized:
            self._bank = bank.subset([w.quantizer for _, w in weights if w.quantizer is not None])
            self._limits = self._bank.limits(stairs, stairs)
            self._lay_out_scales(self._bank)
        if self._vectors:
            flat = torch.cat(owners)
            self._table = padded_table(flat, len(index.sizes)).to(index.device)
            self._owners = flat.to(index.device)

    def _lay_out_scales(self, bank: BitBank) -> None:
        """Find the scales of each quantized weight: one per row, or one for all."""
        scales = [torch.arange(part.start, part.stop) for part in bank.slices]
        for w, s in zip(self._quantized, scales):
            if s.numel() not in (1, w.entry.channels.numel()):
                raise ValueError(f'{w.entry.name}: {s.numel()} step sizes for '
                                 f'{w.entry.channels.numel()} channels; one each or one for all')
        picks = [s[w.rows.cpu()] if s.numel() > 1 else s for w, s in zip(self._quantized, scales)]
        self._pick_sizes = [p.numel() for p in picks]
        sizes = torch.tensor(bank.sizes)
        # None: one scale for each weight, nothing to pick or to average.
        self._pick: Tensor | None = None
        self._layer_of: Tensor | None = None
        if int(sizes.max()) > 1:
            device = bank.device
            layers = torch.arange(len(scales)).repeat_interleave(sizes)
            self._pick, self._layer_of = torch.cat(picks).to(device), layers.to(device)
            self._layer_table = padded_table(layers, len(scales)).to(device)
            self._scale_counts = sizes.float().to(device)

    def scales(self) -> Scales | None:
        """Copy the current scales of the weights in question; None where none is quantized."""
        if self._bank is None:
            return None
        return Scales(self._bank.log_d().exp(), self._bank.log_q_m().exp(),
                      self._bank.t() if self._bank.learns_t else None)

    def read(self, values: Sequence[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Copy active rows of the weights, and the vectors that hold active elements, each flat.

        Args:
            values: Values of the index's parameters; None takes the current ones.
        """
        rows = [w.take(w.entry.param if values is None else values[place]).reshape(-1)
                for place, w in self._weights]
        vectors = [(param if values is None else values[place]).reshape(-1)
                   for place, param in self._vectors]
        return (torch.cat(rows) if rows else torch.empty(0),
                torch.cat(vectors) if vectors else torch.empty(0))

    def forget_(self, before: tuple[Tensor, Tensor], scales: Scales | None, rule: ForgetRule,
                left: int, forced: bool, finite: Tensor) -> None:
        """Move active rows toward zero after the plain step, and set their layers' step sizes.

        Args:
            before: What :meth:`read` gave before the plain step.
            scales: What :meth:`scales` gave before the plain step.
            rule: Rates.
            left: Steps to the end of the period, this one included.
            forced: Whether the rates have a floor.
            finite: 0-dim bool, whether the plain step was taken. A skipped step has no direction to
                derive a step size from.
        """
        rows, vectors = self.read()
        if self._vectors:
            self._forget_vectors(before[1], vectors, rule, left, forced)
        if self._weights:
            self._forget_weights(before[0], rows, scales, rule, left, forced, finite)

    def _forget_vectors(self, old: Tensor, new: Tensor, rule: ForgetRule, left: int,
                        forced: bool) -> None:
        moved = old - new
        norm, product, step_sq = (gather_sums([x], self._table)
                                  for x in (old * old, old * moved, moved * moved))
        gamma = rule.rates(norm.sqrt(), product, step_sq, left, forced)
        change = torch.cat([gamma, gamma.new_zeros(1)])[self._owners] * old
        params = [param for _, param in self._vectors]
        torch._foreach_sub_(params, [part.view_as(p) for p, part in zip(
            params, change.split([p.numel() for p in params]))])

    def _forget_weights(self, old: Tensor, new: Tensor, scales: Scales | None, rule: ForgetRule,
                        left: int, forced: bool, finite: Tensor) -> None:
        moved = old - new
        clipped, residual = self._clip(old, scales)
        parts, moves = clipped.split(self._sizes), moved.split(self._sizes)
        product = torch.stack([torch.dot(c, s) for c, s in zip(parts, moves)])
        norm = torch.stack(torch._foreach_norm(parts))
        step_sq = torch.stack(torch._foreach_norm(moves)).square()
        gamma = rule.rates(norm, product, step_sq, left, forced)
        count, bank = len(self._quantized), self._bank
        if bank is not None:
            errors = residual.split(self._sizes[:count])
            slope = torch.stack([torch.dot(r, s) for r, s in zip(errors, moves)])
            gamma_q, log_d = self._step_sizes(bank, gamma[:count], slope, step_sq[:count], rule,
                                              forced)
            gamma = torch.cat([gamma_q, gamma[count:]])
            torch._foreach_mul_(self._by_scale(residual), self._columns(log_d.exp()))
            clipped[:self._prefix] += residual
            log_d = torch.where(finite, log_d, bank.log_d())
            bank.clamp_(self._limits, log_d)
        torch._foreach_mul_(parts, gamma.unbind())
        new -= clipped
        for (_, w), part in zip(self._weights, new.split(self._sizes)):
            w.put_(part)

    def _step_sizes(self, bank: BitBank, gamma: Tensor, slope: Tensor, step_sq: Tensor,
                    rule: ForgetRule, forced: bool) -> tuple[Tensor, Tensor]:
        """gamma per quantized weight, and log d per scale; channels of a weight get equal bits."""
        span = bank.log_range()
        fine, coarse = span - self._limits[1], span - self._limits[0]
        if self._layer_of is None:
            return rule.step_sizes(gamma, slope, step_sq, fine, coarse, forced)
        mean_fine, mean_coarse = (gather_sums([x], self._layer_table) / self._scale_counts
                                  for x in (fine, coarse))
        gamma, log_d = rule.step_sizes(gamma, slope, step_sq, mean_fine, mean_coarse, forced)
        return gamma, fine + (log_d - mean_fine)[self._layer_of]

    def _clip(self, old: Tensor, scales: Scales | None) -> tuple[Tensor, Tensor]:
        """Clipped weights, and the rounding residual of the quantized prefix, both signed."""
        magnitude = old.abs()
        if scales is None:
            return old.clone(), magnitude[:0]
        head = magnitude[:self._prefix]
        views = self._by_scale(head)
        torch._foreach_minimum_(views, self._columns(scales.q_m))
        if scales.t is not None:
            torch._foreach_pow_(views, self._columns(scales.t))
        sign = old.sign()
        steps = head.clone()
        torch._foreach_div_(self._by_scale(steps), self._columns(scales.d))
        residual = (steps.round() - steps).mul_(sign[:self._prefix])
        return magnitude.mul_(sign), residual

    def _by_scale(self, flat: Tensor) -> Tensors:
        """View the flat prefix by weight: as [rows, elements] where rows have their own scales."""
        parts = flat.split(self._sizes[:len(self._quantized)])
        if self._pick is None:
            return parts
        return [part.view(w.rows.numel(), -1) for w, part in zip(self._quantized, parts)]

    def _columns(self, values: Tensor) -> Tensors:
        """Scales of each quantized weight, to broadcast with :meth:`_by_scale`."""
        if self._pick is None:
            return values.unbind()
        return [part.view(-1, 1) for part in values[self._pick].split(self._pick_sizes)]
