"""The smallest result that keeps an accuracy budget."""
from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmrazor.registry import MODELS

from razor_ext.engine import write_json
from razor_ext.posttraining.algorithm import PostTraining
from razor_ext.pruning import CostTarget

from .request import POST_TRAINING, RequestError
from .run import Prepared, at_share, file_metric, prepare, run_dense
from .steps import Record, Step, python, run_steps

#: What the search has found, in the work directory.
FOUND = 'search.json'
#: Trials of a bisection: a share to the thirty-second part of what is reachable.
TRIALS = 5
#: A training is first tried where compression without it loses so many times the budget.
TRUST = 5.0
#: Metrics of which less is better, by the last part of their key.
ERRORS = ('EPE', 'NME', 'MPJPE', 'P-MPJPE', 'N-MPJPE')


class BudgetError(RequestError):
    """Nothing keeps the accuracy budget; says what came nearest."""


def points_lost(metric: str, dense: float, found: float) -> float:
    """Return by how many points a metric is worse than the dense model's.

    A metric of the dense model of at most 1 is a share, whose points are hundredths.

    Example:
        >>> round(points_lost('coco/AP', 0.75, 0.74), 3)
        1.0
        >>> points_lost('EPE', 4.0, 6.0)
        2.0
    """
    if metric.rpartition('/')[2] in ERRORS:
        return found - dense
    return (dense - found) * (100.0 if dense <= 1 else 1.0)


def smallest(meets: Callable[[float], bool], low: float, high: float = 1.0,
             trials: int = TRIALS) -> float | None:
    """Find the smallest share that meets something, by bisection.

    Args:
        meets: whether a share does; what meets it below another that does not is not found.
        low: smallest share.
        high: largest share.
        trials: bisections after `high` has been tried.

    Returns:
        A share that meets it; None if `high` does not.

    Example:
        >>> smallest(lambda share: share >= 0.6, 0.2, trials=3)
        0.6
    """
    if not meets(high):
        return None
    if meets(low):
        return low
    for _ in range(trials):
        middle = round((low + high) / 2, 4)
        if meets(middle):
            high = middle
        else:
            low = middle
    return high


class Search:
    """A search for the smallest share of a target within an accuracy budget.

    Every trial is a compression without training, tested on the validation set; what is chosen is
    then trained (unless the request trains nothing), and its exported file measured.

    Args:
        prepared: the request, which tests on the validation set.
        record: what is done.
        max_drop: points that may be lost.
        metric: key of the metric to judge by; None for the first of the evaluation.
    """

    def __init__(self, prepared: Prepared, record: Record, max_drop: float,
                 metric: str | None = None) -> None:
        self._prepared, self._record, self.max_drop = prepared, record, max_drop
        self._dense_dir = run_dense(prepared, record)
        dense = _read(self._dense_dir / 'metrics.json')
        self.metric = metric or next(iter(dense))
        if self.metric not in dense:
            raise RequestError(f'--metric {self.metric!r} is none of {", ".join(dense)}')
        self.dense = float(dense[self.metric])
        request = replace(prepared.request, epochs=0, finetune_epochs=None, iters=None,
                          finetune_iters=None, method=(
            POST_TRAINING if prepared.request.trains else prepared.request.method))
        self._trial = prepare(request, prepared.stock, prepared.work_dir / 'search')
        self.trials: dict[float, float] = {}

    def run(self) -> dict[str, Any]:
        """Search, and carry out what is found.

        Returns:
            `metric`, `dense`, `max_drop`, `trials` (points lost without training, by share),
            `finished` (points that the exported file loses, by share), and `share`.

        Raises:
            BudgetError: nothing keeps the budget.
        """
        low, high = reachable(self._trial)
        safe = smallest(lambda share: self._loses(share) <= self.max_drop, low, high)
        finished: dict[float, float] = {}
        for share in self._candidates(safe, low, high):
            document = at_share(self._prepared, share, self._dense_dir)
            finished[share] = points_lost(self.metric, self.dense,
                                          file_metric(document, self.metric))
            kept = finished[share] <= self.max_drop
            print(f'the exported file loses {finished[share]:.2f} points of {self.metric}, '
                  f'{self.max_drop:g} may be lost'
                  + ('' if kept else ': a step back'), flush=True)
            found = dict(metric=self.metric, dense=self.dense, max_drop=self.max_drop,
                         trials={str(key): value for key, value in self.trials.items()},
                         finished={str(key): value for key, value in finished.items()},
                         share=share if kept else None)
            write_json(self._prepared.work_dir / FOUND, found)
            if kept:
                return found
        lost = {**self.trials, **finished}
        nearest = min(lost, key=lambda share: lost[share])
        kind = self._prepared.request.target[0]
        raise BudgetError(
            f'--max-drop {self.max_drop:g}: nothing keeps it. The least loss was '
            f'{lost[nearest]:.2f} points of {self.metric}, at {kind}={nearest:g}. Allow more, or '
            'leave more bits' + ('' if self._prepared.request.trains else ', or train (--epochs)'))

    def _candidates(self, safe: float | None, low: float, high: float) -> list[float]:
        """Shares to carry out, the smallest first; those of a safe one only take a step back."""
        if not self._prepared.request.trains:
            if safe is None:
                return []
            above = sorted(share for share in self.trials if share > safe
                           and self.trials[share] <= self.max_drop)
            return [safe, *above]
        bold = smallest(lambda share: self._loses(share) <= TRUST * self.max_drop, low, high)
        if bold is None:
            return [high]
        last = high if safe is None else safe
        return sorted({bold, round((bold + last) / 2, 4), last})

    def _loses(self, share: float) -> float:
        if share not in self.trials:
            kind, folder = self._trial.request.target[0], self._trial.work_dir / f'{share:g}'
            run_steps([
                Step(f'trial_{share:g}', f'try {kind}={share:g} without training', python(
                    'post_train.py', str(self._trial.files.prune), '--work-dir', str(folder),
                    '--images', str(self._trial.request.images), '--cfg-options',
                    f'model.target.ratio={share:g}'), 'trial'),
                Step(f'test_{share:g}', 'test it on the validation set', python(
                    'test.py', str(folder / 'compressed'), '--work-dir', str(folder / 'test'),
                    '--out', str(folder / 'metrics.json')), 'test')],
                self._record, self._prepared.work_dir / 'logs')
            found = float(_read(folder / 'metrics.json')[self.metric])
            self.trials[share] = points_lost(self.metric, self.dense, found)
            print(f'{kind}={share:g} without training: {self.trials[share]:.2f} points of '
                  f'{self.metric} lost', flush=True)
        return self.trials[share]


def reachable(prepared: Prepared) -> tuple[float, float]:
    """Return the smallest and the largest share that a request can leave, to four digits.

    Of bit operations the largest is that of the whole model at the most bits.

    Args:
        prepared: a request that trains nothing.

    Raises:
        RequestError: its target is not a share to leave.
    """
    if prepared.request.target[0] == 'sparsity':
        raise RequestError('--max-drop searches for a share to leave: give --target macs, params '
                           'or bops, not sparsity')
    cfg = Config.fromfile(prepared.files.prune)
    cfg.model.target.ratio = 1.0
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    algorithm = MODELS.build(cfg.model)
    assert isinstance(algorithm, PostTraining)  # the request trains nothing
    chooser, ends = algorithm.mutator.chooser(), []
    for width, structure in ((min(algorithm.widths(), default=None), chooser.smallest),
                             (None, dict(zip(chooser.names, chooser.sizes)))):
        target = algorithm.build_target_at('uniform', width)
        assert isinstance(target, CostTarget)
        target.prepare(chooser)
        # At a ratio of 1 the limit is what shares are of.
        ends.append(min(1.0, math.ceil(target.cost(structure) / target.limit * 1e4) / 1e4))
    return ends[0], ends[1]


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding='utf-8'))
