"""Rows of active groups: read before and after the plain step, and moved toward zero."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .forgetting import ForgetRule
from .groups import GroupedParameter, GroupIndex, gather_sums, padded_table
from .projection import BitBank


@dataclass
class _Rows:
    """Active rows of one weight."""

    entry: GroupedParameter
    rows: Tensor
    quantizer: int | None

    def take(self, values: Tensor) -> Tensor:
        return values.movedim(self.entry.dim, 0).index_select(0, self.rows)

    def put_(self, values: Tensor) -> None:
        target = self.entry.param.movedim(self.entry.dim, 0)
        target.index_copy_(0, self.rows, values.view(-1, *target.shape[1:]))


class ActiveRows:
    """Rows of the active groups, laid out once when a period opens.

    Weights have a rate each; biases and norm affines share one per unit.

    Args:
        index: Groups.
        active: Bool [G].
        bank: Quantizers; None where nothing is quantized.
    """

    def __init__(self, index: GroupIndex, active: Tensor, bank: BitBank | None) -> None:
        marked = torch.cat([active.cpu(), torch.zeros(1, dtype=torch.bool)])
        by_weight = {} if bank is None else {
            id(h.weight): i for i, h in enumerate(bank.handles) if h.weight is not None}
        weights, self._vectors, owners = [], [], []
        units = torch.cat([index.unit_of, torch.tensor([len(index.sizes)])])
        for place, entry in enumerate(index.entries):
            hit = marked[entry.groups]
            if not hit.any():
                continue
            quantizer = by_weight.get(id(entry.param))
            if entry.is_vector and quantizer is None:
                self._vectors.append((place, entry.param))
                owners.append(torch.where(hit, units[entry.groups], len(index.sizes)))
            else:
                rows = hit.nonzero().flatten().to(index.device)
                weights.append((place, _Rows(entry, rows, quantizer)))
        # Quantized ones first: the residual exists for a prefix of the flat layout.
        weights.sort(key=lambda item: item[1].quantizer is None)
        self._weights = weights
        self._sizes = [w.take(w.entry.param).numel() for _, w in weights]
        self._bank = bank
        self._quantized = [w for _, w in weights if w.quantizer is not None]
        self._prefix = sum(self._sizes[:len(self._quantized)])
        if self._quantized:
            self._lay_out_scales()
        if self._vectors:
            flat = torch.cat(owners)
            self._table = padded_table(flat, len(index.sizes)).to(index.device)
            self._owners = flat.to(index.device)

    def _lay_out_scales(self) -> None:
        """Find the scales of each quantized weight: one per row, or one for all."""
        parts = [self._bank.slices[w.quantizer] for w in self._quantized]
        scales = [torch.arange(part.start, part.stop) for part in parts]
        picks = [s[w.rows.cpu()] if s.numel() > 1 else s for w, s in zip(self._quantized, scales)]
        layers = torch.cat([torch.full_like(s, i) for i, s in enumerate(scales)])
        device = self._bank.device
        self._pick, self._pick_sizes = torch.cat(picks).to(device), [p.numel() for p in picks]
        self._scales, self._layer_of = torch.cat(scales).to(device), layers.to(device)
        self._layer_table = padded_table(layers, len(scales)).to(device)
        self._scale_counts = torch.tensor([float(s.numel()) for s in scales], device=device)

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
                left: int, forced: bool, limits: tuple[Tensor, Tensor] | None,
                log_d: Tensor | None) -> Tensor | None:
        """Move active rows toward zero, after the plain step.

        Args:
            before: What :meth:`read` gave before the plain step.
            scales: Quantizer scales before the plain step.
            rule: Rates.
            left: Steps to the end of the period, this one included.
            forced: Whether the rates have a floor.
            limits: log levels at the fewest and the most bits, see :meth:`BitBank.limits`.
            log_d: Step sizes of all quantizers after the plain step.

        Returns:
            ``log_d`` with those of quantized weights in question set by the rule.
        """
        rows, vectors = self.read()
        if self._vectors:
            self._forget_vectors(before[1], vectors, rule, left, forced)
        if self._weights:
            log_d = self._forget_weights(before[0], rows, scales, rule, left, forced, limits, log_d)
        return log_d

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
                        left: int, forced: bool, limits: tuple[Tensor, Tensor] | None,
                        log_d: Tensor | None) -> Tensor | None:
        moved = old - new
        clipped, residual = self._clip(old, scales)
        parts, moves = clipped.split(self._sizes), moved.split(self._sizes)
        product = torch.stack([torch.dot(c, s) for c, s in zip(parts, moves)])
        norm = torch.stack(torch._foreach_norm(parts))
        step_sq = torch.stack(torch._foreach_norm(moves)).square()
        gamma = rule.rates(norm, product, step_sq, left, forced)
        count = len(self._quantized)
        if count:
            errors = residual.split(self._sizes[:count])
            slope = torch.stack([torch.dot(r, s) for r, s in zip(errors, moves)])
            span = self._bank.log_range()[self._scales]
            fine, coarse = span - limits[1][self._scales], span - limits[0][self._scales]
            mean_fine, mean_coarse = (gather_sums([x], self._layer_table) / self._scale_counts
                                      for x in (fine, coarse))
            gamma_q, log_layer = rule.step_sizes(gamma[:count], slope, step_sq[:count], mean_fine,
                                                 mean_coarse, forced)
            gamma = torch.cat([gamma_q, gamma[count:]])
            # Channels with scales of their own get the same bits.
            log_d = log_d.index_copy(0, self._scales,
                                     fine + (log_layer - mean_fine)[self._layer_of])
            torch._foreach_mul_(self._by_scale(residual), self._columns(log_d.exp()))
            clipped[:self._prefix] += residual
        torch._foreach_mul_(parts, gamma.unbind())
        new -= clipped
        for (_, w), part in zip(self._weights, new.split(self._sizes)):
            w.put_(part)
        return log_d

    def _clip(self, old: Tensor, scales: Scales | None) -> tuple[Tensor, Tensor]:
        """Clipped weights, and the rounding residual of the quantized prefix, both signed."""
        magnitude = old.abs()
        if not self._quantized:
            return old.clone(), magnitude[:0]
        head = magnitude[:self._prefix]
        views = self._by_scale(head)
        torch._foreach_minimum_(views, self._columns(scales.q_m))
        if scales.learned_t:
            torch._foreach_pow_(views, self._columns(scales.t))
        sign = old.sign()
        steps = head.clone()
        torch._foreach_div_(self._by_scale(steps), self._columns(scales.d))
        residual = (steps.round() - steps).mul_(sign[:self._prefix])
        return magnitude.mul_(sign), residual

    def _by_scale(self, flat: Tensor) -> list[Tensor]:
        """View each quantized weight's rows as [rows, elements], from the flat prefix."""
        return [part.view(w.rows.numel(), -1) for w, part in zip(
            self._quantized, flat.split(self._sizes[:len(self._quantized)]))]

    def _columns(self, values: Tensor) -> list[Tensor]:
        """Scales of each quantized weight as [rows or 1, 1], from all quantizers' scales."""
        return [part.view(-1, 1) for part in values[self._pick].split(self._pick_sizes)]


@dataclass
class Scales:
    """Scales of all quantizers at one time, concatenated as in the bank."""

    d: Tensor
    q_m: Tensor
    t: Tensor
    learned_t: bool

    @classmethod
    def of(cls, bank: BitBank) -> Scales:
        """Copy the current scales."""
        return cls(bank.log_d().exp(), bank.log_q_m().exp(), bank.t(), bank.learns_t)
