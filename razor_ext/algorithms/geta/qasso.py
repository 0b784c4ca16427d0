"""QASSO: structured pruning and mixed-precision quantization in one run."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import broadcast
from torch import Tensor

from razor_ext.pruning.channel_index import ChannelIndex
from razor_ext.quantization import split_scales

from .active_rows import ActiveRows, Scales
from .binding import Bound, bind_, follow_
from .forgetting import ForgetRule
from .projection import BitBank, BitHandle
from .sensitivity import RoundingLoss
from .sparse_optimizer import ACTIVE, GroupSparseOptimizer
from .stages import COOLDOWN, JOINT, BitRange, StagePlan


class QASSO(GroupSparseOptimizer):
    """Quantization-aware structured sparse optimizer (GETA, Qu et al. 2025).

    Warm-up trains plainly; projection lowers the bit ceiling stair by stair; in the joint stage
    active groups are forgotten at rates that keep descent, and the step sizes of their layers
    follow; in the cool-down the widths are integers and fixed. After *every* step the bits of every
    quantizer are inside the range of that step, reached by moving step sizes alone. A step size
    that is pressed against its bound follows its clipping range, which learns through both.

    Quantizer scales form a param group of their own, without weight decay, with ``lr_quant`` as its
    learning rate: schedulers treat it as any other group.

    Args:
        params: Parameters or param groups; scales may be among them.
        groups: Prunable groups; None only quantizes.
        plan: See :class:`GroupSparseOptimizer`.
        handles: Quantizers; none only prunes.
        weight_bits, activation_bits: Ranges of bit widths.
        bit_ranges: Ranges of single quantizers, by name.
        lr_quant: Learning rate of quantizer scales.
        extra_scales: Further parameters to train as scales (zero points).
        choose_bits: Chooses the whole bits of every quantizer when the cool-down begins, from the
            loss by the rounding of each (see :class:`RoundingLoss`); None rounds the present ones.
        rule: Constants of forgetting.
        options: See :class:`GroupSparseOptimizer`.

    Raises:
        ValueError: A bit ceiling that its stairs cannot bring down to the final range.
    """

    def __init__(self, params: Iterable, *, groups: ChannelIndex | None,
                 plan: StagePlan | None, handles: Sequence[BitHandle] = (),
                 weight_bits: BitRange | None = None, activation_bits: BitRange | None = None,
                 bit_ranges: Mapping[str, BitRange] | None = None, lr_quant: float = 1e-3,
                 extra_scales: Sequence[Tensor] = (),
                 choose_bits: Callable[[list[float]], list[int]] | None = None,
                 rule: ForgetRule | None = None, **options: Any) -> None:
        self.rule = rule or ForgetRule()
        self.bank = BitBank(handles, weight_bits or BitRange(), activation_bits or BitRange(),
                            bit_ranges) if handles else None
        scales = [*(self.bank.parameters() if self.bank else []), *extra_scales]
        self._rows: ActiveRows | None = None
        self._kept: tuple[tuple[Tensor, Tensor], Scales | None] | None = None
        self._choose_bits = choose_bits
        self._losses = None if self.bank is None or choose_bits is None else RoundingLoss(self.bank)
        self._frozen: Tensor | None = None
        self._bound: Bound | None = None
        super().__init__(split_scales(params, scales, lr_quant), groups=groups, plan=plan,
                         **options)

    def set_plan(self, plan: StagePlan) -> None:
        """Fix the stages, before the first step.

        Raises:
            ValueError: See the base class; or a bit ceiling cannot come down in the stairs given.
        """
        super().set_plan(plan)
        if self.bank is not None:
            self.bank.limits(plan.projection_periods, plan.projection_periods)
            self._stair = -1

    def constrain_(self, index: ChannelIndex | None, bank: BitBank | None = None) -> None:
        """Zero what is pruned, and move step sizes into the present ranges; see the base class."""
        if index is not None:
            super().constrain_(index)
        if bank is not None:
            bank.clamp_(self._limits)

    def _update_limits(self, bank: BitBank, step: int) -> None:
        plan = self._planned()
        stair = plan.stair(step)
        if plan.stage(step) == COOLDOWN:
            if self._frozen is None:
                self._frozen = self._whole_bits(bank)
                self._limits = bank.frozen_limits(self._frozen)
        elif stair != self._stair:
            self._limits = bank.limits(stair, plan.projection_periods)
        self._stair = stair

    def _whole_bits(self, bank: BitBank) -> Tensor:
        if self._choose_bits is None or self._losses is None:
            return bank.rounded()
        losses = self._losses.mean.clone()
        if not losses.any():  # nothing was trained
            losses.fill_(1)
        broadcast(losses, src=0)
        return torch.tensor(self._choose_bits(losses.tolist()), dtype=torch.int32)

    @property
    def frozen_bits(self) -> dict[str, int] | None:
        """Integer bits by quantizer, once the cool-down has begun."""
        if self.bank is None or self._frozen is None:
            return None
        return {h.name: int(b) for h, b in zip(self.bank.handles, self._frozen)}

    def _before_base(self, before: Sequence[Tensor] | None, finite: Tensor) -> None:
        if self.bank is not None:
            self._update_limits(self.bank, self._steps)
            if self._losses is not None and self._frozen is None:
                self._losses.record(self.bank.step_size_gradients(), finite)
            self._bound = bind_(self.bank, self._limits)
        if self.index is None or self._planned().stage(self._steps) != JOINT:
            return
        if before is None:
            assert self._rows is not None  # laid out when the period opened
            self._kept = (self._rows.read(), self._rows.scales())
        elif self.bank is not None:
            # Which rows a period forgets is not known before its first plain step.
            self._scales_before = [p.detach().clone() for p in self.bank.parameters()]

    def _period_opened(self, index: ChannelIndex, before: Sequence[Tensor]) -> None:
        rows = self._rows = self._lay_out(index)
        if self.bank is None:
            self._kept = (rows.read(before), None)
            return
        after = [p.detach().clone() for p in self.bank.parameters()]
        torch._foreach_copy_(self.bank.parameters(), self._scales_before)
        self._kept = (rows.read(before), rows.scales())
        torch._foreach_copy_(self.bank.parameters(), after)

    def _lay_out(self, index: ChannelIndex) -> ActiveRows:
        return ActiveRows(index, self._status == ACTIVE, self.bank,
                          self._planned().projection_periods)

    def _after_base(self, finite: Tensor) -> None:
        if self.bank is not None and self._bound is not None:
            follow_(self.bank, self._bound)
            self._bound = None
        if self._kept is not None and self._rows is not None:
            plan, (before, scales) = self._planned(), self._kept
            left = plan.period - plan.offset(self._steps)
            self._rows.forget_(before, scales, self.rule, left,
                               self.rule.is_forced(left, plan.period), finite)
            self._kept = None
        if self.bank is not None:
            self.bank.clamp_(self._limits)

    def _period_closed(self) -> None:
        self._rows = None

    def _extra_state(self) -> dict[str, Any]:
        state = super()._extra_state()
        if self.bank is not None:
            state['quantizers'] = [handle.name for handle in self.bank.handles]
            if self._frozen is not None:
                state['frozen_bits'] = self._frozen.clone()
            if self._losses is not None:
                state['rounding_losses'] = self._losses.mean.clone()
        return state

    def _load_extra_state(self, state: dict[str, Any]) -> None:
        names = None if self.bank is None else [handle.name for handle in self.bank.handles]
        if state.get('quantizers') != names:
            raise ValueError('the optimizer state was saved with other quantizers; resume with the '
                             'config that it was saved under')
        super()._load_extra_state(state)
        if self.bank is not None:
            self._stair = -1
            if self._losses is not None and 'rounding_losses' in state:
                self._losses.mean.copy_(state['rounding_losses'])
            self._frozen = state.get('frozen_bits')
            if self._frozen is not None:
                self._limits = self.bank.frozen_limits(self._frozen)
            self._update_limits(self.bank, self._steps)
        if self.index is not None:
            active = self._status == ACTIVE
            self._rows = self._lay_out(self.index) if active.any() else None
