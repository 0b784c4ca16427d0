"""What QASSO and HESSO share: a plain optimizer, groups, periods, state."""
from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Callable

import torch
from mmengine.dist import broadcast
from torch import Tensor
from torch.optim import Optimizer

from razor_ext.engine.finite import FiniteGuard
from razor_ext.pruning.channel_index import ChannelIndex
from razor_ext.pruning.chooser import Chooser, Divisor
from razor_ext.pruning.targets import Target

from .saliency import Saliency
from .stages import StagePlan
from .variants import descent_directions, make_base, make_defaults

KEPT, ACTIVE, PRUNED = 0, 1, 2


class GroupSparseOptimizer(Optimizer):
    """A plain optimizer that prunes groups of parameters period by period.

    When a period of the joint stage opens, groups are scored and the lowest become *active*; they
    are forgotten step by step, are zero when the period closes, and stay zero. Subclasses say how
    active groups are forgotten. With nothing to prune, the parameters follow torch's optimizer to
    the bit.

    A step whose gradients are not finite changes no parameter through the plain optimizer and no
    moment; the schedule goes on.

    Args:
        params: Parameters or param groups.
        groups: Prunable groups; None prunes nothing.
        plan: Stages in steps; None if :meth:`set_plan` gives them before the first step.
        target: Which groups, how many; required with ``groups``.
        variant: ``'sgd'``, ``'adam'``, ``'adamw'`` or ``'rmsprop'``.
        saliency: Importance score.
        divisor: Widths are multiples of it: a number or a table by unit name.
        min_channels: Channels every unit keeps: a number or a table by unit name.
        implementation: ``'auto'``, ``'foreach'`` or ``'fused'``; see :func:`make_defaults`.
        max_skipped_steps: Consecutive bad steps after which the run is stopped.
        options: Options of torch's optimizer (``lr``, ``weight_decay``, ``betas``, ...).

    Raises:
        ValueError: See the classes of the arguments; a target that cannot be met is one such case.
    """

    def __init__(self, params: Iterable, *, groups: ChannelIndex | None, plan: StagePlan | None,
                 target: Target | None = None, variant: str = 'adamw',
                 saliency: Saliency | None = None, divisor: Divisor = 1, min_channels: Divisor = 1,
                 implementation: str = 'auto', max_skipped_steps: int = 50,
                 **options: Any) -> None:
        params = list(params)
        first = params[0]['params'] if params and isinstance(params[0], dict) else params
        first = first if isinstance(first, Tensor) else next(iter(first), None)
        if first is None:
            raise ValueError('the optimizer got an empty parameter list')
        super().__init__(params, make_defaults(variant, implementation, first.device, options))
        self.variant, self.index, self.target = variant, groups, target
        self.saliency = saliency or Saliency()
        self._base = make_base(variant, self.param_groups, options)
        self._guard = FiniteGuard(first.device, max_skipped_steps)
        self._steps = 0
        self.plan: StagePlan | None = None
        if groups is not None:
            self._prepare_pruning(groups, target, divisor, min_channels)
        if plan is not None:
            self.set_plan(plan)

    def _prepare_pruning(self, groups: ChannelIndex, target: Target | None, divisor: Divisor,
                         min_channels: Divisor) -> None:
        if target is None:
            raise ValueError('groups without a target: give a SparsityTarget or a CostTarget')
        self.chooser = Chooser(groups.unit_names, groups.sizes, divisor, min_channels)
        target.prepare(self.chooser)
        self._status = torch.full((groups.total,), KEPT, dtype=torch.int8,
                                  device=groups.device)
        self._scores = torch.zeros(groups.total, device=groups.device)
        self._any_pruned = False
        self._share = 1.0

    def set_plan(self, plan: StagePlan) -> None:
        """Fix the stages, before the first step.

        Raises:
            ValueError: There are groups to prune but no step to prune them in.
        """
        if self.index is not None and not plan.pruning:
            raise ValueError('groups to prune, but the pruning stage has no step: set pruning')
        self.plan = plan

    def _planned(self) -> StagePlan:
        if self.plan is None:
            raise RuntimeError(f'{type(self).__name__} has no stages: call set_plan() first (in a '
                               "Runner, add pruning=dict(type='mmrazor.PruningHook') to "
                               'default_hooks)')
        return self.plan

    # What the caller may look at. Each of these reads from the device.

    @property
    def steps(self) -> int:
        """Steps taken."""
        return self._steps

    @property
    def stage(self) -> str:
        """Stage of the step to come."""
        return self._planned().stage(self._steps)

    @property
    def pruned(self) -> Tensor:
        """Bool [G] on the CPU: groups that are zero for good."""
        return (self._status == PRUNED).cpu()

    @property
    def scores(self) -> Tensor:
        """Importance [G] at the opening of the latest period, on the CPU."""
        return self._scores.cpu()

    @property
    def skipped_steps(self) -> int:
        """Steps skipped because of gradients that were not finite."""
        return int(self._guard.total)

    # Torch says that a closure returns a float; losses are tensors. What a step does changes with
    # the stage, which is nothing to compile where `train_step` is compiled around it.
    @torch.compiler.disable
    @torch.no_grad()
    def step(
            self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Take one step of the current stage.

        Args:
            closure: Evaluates the loss again and returns it.

        Raises:
            RuntimeError: Gradients were not finite too many times in a row.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        grads = [p.grad for group in self.param_groups for p in group['params']
                 if p.grad is not None]
        plan, index, step = self._planned(), self.index, self._steps
        finite = self._guard.check(grads)
        before = None
        if index is not None and plan.opens(step):
            before = [p.detach().clone() for p in index.params]
        self._before_base(before, finite)
        self._step_base(finite)
        if index is not None and before is not None:
            self._open_period(index, before)
        self._after_base(finite)
        if index is not None and plan.closes(step):
            self._status.masked_fill_(self._status == ACTIVE, PRUNED)
            self._any_pruned = True
            self._period_closed()
        self._share = plan.share(step)
        self._finish(finite)
        self._steps += 1
        return loss

    def _step_base(self, finite: Tensor) -> None:
        # Shared anew each time, since load_state_dict replaces both.
        self._base.param_groups, self._base.state = self.param_groups, self.state
        if finite.is_cuda and self.defaults.get('fused'):
            vars(self._base)['found_inf'] = (~finite).float()
        elif not finite:
            return
        self._base.step()

    def _open_period(self, index: ChannelIndex, before: Sequence[Tensor]) -> None:
        plan, target = self._planned(), self.target
        assert target is not None  # there are groups
        directions = descent_directions(self.variant, self.param_groups, self.state,
                                        index.params, before)
        self._scores = self.saliency(index, before, directions)
        broadcast(self._scores, src=0)
        pruned = self.pruned
        chosen = target.choose(
            self.chooser, self._scores.double().cpu().numpy(), pruned.numpy(),
            plan.period_index(self._steps), plan.pruning_periods)
        self._status.masked_fill_(torch.from_numpy(chosen).to(self._status.device), ACTIVE)
        self._period_opened(index, before)

    def _before_base(self, before: Sequence[Tensor] | None, finite: Tensor) -> None:
        """Keep what is needed of the state before the plain step."""

    def _period_opened(self, index: ChannelIndex, before: Sequence[Tensor]) -> None:
        """React to newly active groups; ``before`` are parameters before the plain step."""

    def _after_base(self, finite: Tensor) -> None:
        """Forget active groups."""

    def _period_closed(self) -> None:
        """React to active groups having become pruned."""

    def _finish(self, finite: Tensor) -> None:
        """End the step: pruned groups are zero."""
        if self.index is not None:
            self.constrain_(self.index)

    def constrain_(self, index: ChannelIndex) -> None:
        """Zero what is pruned in parameters: those trained, or those of an average of them.

        In mask-aware norms an active group counts the less, the further its period has come.
        """
        if self._any_pruned:
            index.zero_(self._status == PRUNED)
        if index.shares and (self._any_pruned or self._share < 1):
            share = (self._status == KEPT).float()
            index.set_shares(share.masked_fill_(self._status == ACTIVE, self._share))

    def keep_masks(self) -> dict[str, Tensor]:
        """Bool mask of surviving channels per unit name; all True before anything is pruned."""
        if self.index is None:
            return {}
        return self.index.keep_masks(self.pruned)

    @staticmethod
    def _fingerprint(index: ChannelIndex) -> str:
        described: list[tuple] = [(e.name, e.dim, tuple(e.param.shape)) for e in index.entries]
        text = repr(described + list(zip(index.unit_names, index.sizes)))
        return hashlib.sha256(text.encode()).hexdigest()

    def _extra_state(self) -> dict[str, Any]:
        state: dict[str, Any] = {'steps': self._steps,
                                 'plan': None if self.plan is None else asdict(self.plan),
                                 'variant': self.variant, 'guard': self._guard.state_dict()}
        if self.index is not None:
            state.update(status=self._status.clone(), scores=self._scores.clone(),
                         groups=self._fingerprint(self.index))
        return state

    def _load_extra_state(self, state: dict[str, Any]) -> None:
        own = self._extra_state()
        for key in ('variant', 'plan', 'groups'):
            if state.get(key) != own.get(key):
                raise ValueError(f'the optimizer state was saved with another {key}: '
                                 f'{state.get(key)}, not {own.get(key)}; resume with the config '
                                 'that it was saved under')
        self._steps = state['steps']
        self._guard.load_state_dict(state['guard'])
        if self.index is not None:
            self._status.copy_(state['status'])
            self._scores = state['scores'].to(self.index.device)
            self._any_pruned = bool((self._status == PRUNED).any())

    def state_dict(self) -> dict[str, Any]:
        """State of torch's optimizer, and under ``'compression'`` that of pruning."""
        return {**super().state_dict(), 'compression': self._extra_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` gave.

        Raises:
            ValueError: The state is of another optimizer, plan or model.
        """
        if 'compression' not in state_dict:
            raise ValueError(f'the state is not one of {type(self).__name__}: it has no entry '
                             "'compression'")
        self._load_extra_state(state_dict['compression'])
        super().load_state_dict({k: v for k, v in state_dict.items() if k != 'compression'})

