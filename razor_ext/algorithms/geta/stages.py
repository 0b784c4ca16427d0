"""When each stage of a run begins and ends, and how far bit widths may reach in it."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Union

Length = Union[int, float]

WARMUP, PROJECTION, JOINT, COOLDOWN = 'warmup', 'projection', 'joint', 'cooldown'


def _steps(name: str, value: Length, total: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f'{name}={value!r}: give steps (int) or a fraction of the run (float)')
    if isinstance(value, int):
        if value < 0:
            raise ValueError(f'{name}={value}: a number of steps cannot be negative')
        return value
    if not 0. <= value <= 1.:
        raise ValueError(f'{name}={value}: a fraction of the run lies in [0, 1]; steps are int')
    return int(total * value)


@dataclass(frozen=True)
class Stages:
    """Lengths of the stages, in steps (int) or as fractions of the run (float).

    What is left of the run after warm-up, projection and pruning is the cool-down.

    Args:
        warmup: Plain training.
        projection: Bit widths descend to their final range; 0 where nothing is quantized.
        pruning: Groups are chosen and forgotten (the joint stage).
        projection_periods: Number of stairs of the bit ceiling.
        pruning_periods: Number of times groups are chosen.
    """

    warmup: Length = 0.1
    projection: Length = 0.2
    pruning: Length = 0.4
    projection_periods: int = 5
    pruning_periods: int = 10

    def __post_init__(self) -> None:
        for name in ('projection_periods', 'pruning_periods'):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'{name}={value!r}: at least 1 is needed')

    def resolve(self, total_steps: int) -> StagePlan:
        """Turn lengths into step numbers.

        Args:
            total_steps: Optimizer steps of the whole run.

        Raises:
            ValueError: The stages are longer than the run, leave no step to cool down, or a period
                would have no step.
        """
        if total_steps < 1:
            raise ValueError(f'total_steps={total_steps}: a run has at least one step')
        warmup, projection, pruning = (
            _steps(name, getattr(self, name), total_steps)
            for name in ('warmup', 'projection', 'pruning'))
        used = warmup + projection + pruning
        if used >= total_steps:
            raise ValueError(
                f'stages are longer than the run: warmup {warmup} + projection {projection} + '
                f'pruning {pruning} = {used} steps of {total_steps}, and at least one is needed to '
                'cool down; shorten a stage or train longer')
        for name, steps, periods in (('projection', projection, self.projection_periods),
                                     ('pruning', pruning, self.pruning_periods)):
            if 0 < steps < periods:
                raise ValueError(f'{name} lasts {steps} steps but has {periods} periods: a period '
                                 f'needs at least one step; lower {name}_periods or lengthen it')
        return StagePlan(total_steps, warmup, projection, pruning, self.projection_periods,
                         self.pruning_periods)


@dataclass(frozen=True)
class StagePlan:
    """Stages in steps. Step numbers count from 0; see :class:`Stages` for the fields."""

    total: int
    warmup: int
    projection: int
    pruning: int
    projection_periods: int
    pruning_periods: int

    @property
    def pruning_start(self) -> int:
        """First step of the joint stage."""
        return self.warmup + self.projection

    @property
    def period(self) -> int:
        """Steps of one pruning period; a remainder of the stage is left to the cool-down."""
        return self.pruning // self.pruning_periods

    @property
    def pruning_stop(self) -> int:
        """First step of the cool-down."""
        return self.pruning_start + self.period * self.pruning_periods

    def stage(self, step: int) -> str:
        """Name of the stage of a step."""
        if step < self.warmup:
            return WARMUP
        if step < self.pruning_start:
            return PROJECTION
        return JOINT if step < self.pruning_stop else COOLDOWN

    def offset(self, step: int) -> int:
        """Steps since the pruning period of ``step`` opened (joint stage only)."""
        return (step - self.pruning_start) % self.period

    def period_index(self, step: int) -> int:
        """Number of the pruning period of ``step`` (joint stage only)."""
        return (step - self.pruning_start) // self.period

    def opens(self, step: int) -> bool:
        """Whether a pruning period opens with this step."""
        return self.stage(step) == JOINT and self.offset(step) == 0

    def closes(self, step: int) -> bool:
        """Whether a pruning period closes with this step."""
        return self.stage(step) == JOINT and self.offset(step) == self.period - 1

    def share(self, step: int) -> float:
        """What an active group still counts in the statistics of norms after ``step``.

        It falls evenly from 1 to 0 over a period, as the weights do under forced forgetting, so
        that the statistics do not jump where the group is zeroed.
        """
        return 1 - (self.offset(step) + 1) / self.period if self.stage(step) == JOINT else 1.0

    def stair(self, step: int) -> int:
        """Stair of the bit ceiling: 0 in warm-up, ``projection_periods`` when it is final."""
        if step < self.warmup:
            return 0
        if step >= self.pruning_start:
            return self.projection_periods
        length = self.projection // self.projection_periods
        return min((step - self.warmup) // length + 1, self.projection_periods)


@dataclass(frozen=True)
class BitRange:
    """Allowed bit widths of a kind of tensor.

    The ceiling is ``start_bits`` in warm-up and descends stair by stair to ``max_bits`` over the
    projection stage; it never falls below ``max_bits``.

    Args:
        min_bits: Fewest bits, at every step.
        max_bits: Most bits once the projection stage is over.
        start_bits: Most bits in warm-up.
        reduction: Bits per stair; None spreads the descent evenly.
    """

    min_bits: int = 4
    max_bits: int = 8
    start_bits: int = 16
    reduction: float | None = None

    def __post_init__(self) -> None:
        for name in ('min_bits', 'max_bits', 'start_bits'):
            if not isinstance(getattr(self, name), int):
                raise ValueError(f'{name}={getattr(self, name)!r}: bit widths are integers')
        if not 2 <= self.min_bits <= self.max_bits <= self.start_bits <= 24:
            raise ValueError(
                f'bits [{self.min_bits}, {self.max_bits}] from {self.start_bits}: '
                '2 <= min_bits <= max_bits <= start_bits <= 24 is needed')
        if self.reduction is not None and self.reduction <= 0:
            raise ValueError(f'reduction={self.reduction}: bits per stair must be positive')

    def ceiling(self, stair: int, stairs: int) -> float:
        """Most bits on a stair, see :meth:`StagePlan.stair`.

        Raises:
            ValueError: ``reduction`` is too small for the final range to be reached.
        """
        per_stair = self.reduction or (self.start_bits - self.max_bits) / stairs
        if self.start_bits - per_stair * stairs > self.max_bits + 1e-9:
            raise ValueError(
                f'{stairs} stairs of {per_stair} bits lead from {self.start_bits} only to '
                f'{self.start_bits - per_stair * stairs}, not to max_bits={self.max_bits}; raise '
                'reduction or projection_periods')
        return max(float(self.max_bits), self.start_bits - per_stair * stair)
