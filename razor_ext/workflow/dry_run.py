"""What a run would do and leave, in seconds and without training."""
from __future__ import annotations

import contextlib
import io
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.runner import Runner
from prettytable import PrettyTable

from razor_ext.posttraining.algorithm import ALLOCATIONS, PostTraining
from razor_ext.pruning import PruningAlgorithm
from razor_ext.pruning.costs import StructureCosts
from razor_ext.quantization import calibrate
from razor_ext.quantization.hooks import run_training_batch

from .progress import clock
from .request import RequestError

#: Iterations that are timed, after one that is not.
TIMED = 4


def describe(prune: Path, finetune_share: float) -> str:
    """Say what a pruning config would do.

    The structure is chosen by the norms of the dense weights: what a run chooses differs, but meets
    the same target.

    Args:
        prune: config of the run.
        finetune_share: length of the finetune run, as a share of this one's.

    Returns:
        Units, what is frozen and why, predicted costs, schedule, and the time it takes.

    Raises:
        RequestError: the data give too few batches.
    """
    cfg = Config.fromfile(prune)
    # Of what the Runner and the data sets say while they are built, nothing is asked for.
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        cfg.work_dir, cfg.visualizer, cfg.log_level = scratch, None, 'ERROR'
        runner = Runner.from_cfg(cfg)
        algorithm = runner.model
        if not isinstance(algorithm, PruningAlgorithm):
            raise RequestError(f'{prune}: {type(algorithm).__name__} has no dry run')
        algorithm.init_weights()
        if isinstance(algorithm, PostTraining):
            return '\n'.join([algorithm.mutator.graph.summary(), '', _costs(algorithm), '',
                              'nothing is trained: a pass or two over the images for each of '
                              f'{len(ALLOCATIONS) * len(algorithm.scores) + 1} variants'])
        loader = runner.build_dataloader(cfg.train_dataloader)
        steps = _steps(cfg, loader)
        wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
        text = [algorithm.mutator.graph.summary(), '', _costs(algorithm), '',
                f'{steps} iterations; {algorithm.start(wrapper, steps)}']
        seconds = _time(algorithm, wrapper, loader, steps)
    total = seconds * steps * (1 + finetune_share)
    text.append(f'{seconds:.3f} s an iteration here, of {TIMED} timed: about {clock(total)} for '
                'pruning and finetuning, validation apart')
    return '\n'.join(text)


def _steps(cfg: Config, loader: Any) -> int:
    train = cfg.train_cfg
    steps = train.get('max_iters') or train.max_epochs * len(loader)
    if not steps:
        raise RequestError('the training set gives no batch: look at --train-ann and batch_size')
    return steps


def _costs(algorithm: PruningAlgorithm) -> str:
    mutator = algorithm.mutator
    quantized = isinstance(algorithm, PostTraining) and algorithm.quantizes
    costs = StructureCosts(algorithm.at_width(None).architecture if quantized
                           else algorithm.architecture, mutator)
    dense = mutator.choice_template
    structure = _structure(algorithm)
    table = PrettyTable(['', 'dense', 'predicted'], align='r')
    table.align[''] = 'l'
    before, after = costs.summary(dense, {}), costs.summary(structure, algorithm.most_bits())
    for title, key, scale in (('MACs (M)', 'macs', 1e6), ('parameters (K)', 'params', 1e3),
                              ('bit operations (G)', 'bops', 1e9), ('weights (MB)', 'bytes', 1e6)):
        table.add_row([title, f'{before[key] / scale:.2f}', f'{after[key] / scale:.2f}'])
    table.add_row(['channels', sum(dense.values()), sum(structure.values())])
    return table.get_string() + ('\nbits at most: fewer only lower the last two'
                                 if algorithm.quantizes else '')


def _structure(algorithm: PruningAlgorithm) -> Mapping[str, int]:
    target, chooser = algorithm.build_target(), algorithm.mutator.chooser()
    if target is None:
        return algorithm.mutator.choice_template
    target.prepare(chooser)
    scores = algorithm.mutator.channel_index(algorithm.architecture).norms().detach()
    nothing = np.zeros(chooser.total, dtype=bool)
    chosen = target.choose_at(chooser, scores.double().cpu().numpy(), nothing, 1.)
    return chooser.structure(chosen)


def _time(algorithm: PruningAlgorithm, wrapper: Any, loader: Any, steps: int) -> float:
    batches = list(islice(loader, 1))
    if algorithm.quantizes:
        calibrate(algorithm, batches, run=run_training_batch)
    algorithm.train()
    seconds: list[float] = []
    began = time.perf_counter()
    for index, batch in enumerate(_endless(loader)):
        if index > TIMED:
            break
        algorithm.before_step(index, steps, 1.)
        algorithm.train_step(batch, wrapper)
        algorithm.after_step(index, steps, len(batch['inputs']))
        now = time.perf_counter()
        seconds.append(now - began)
        began = now
    return math.fsum(seconds[1:]) / TIMED


def _endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader
