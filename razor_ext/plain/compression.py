"""Compression in a loop of one's own: an optimizer, and what becomes of the model."""
from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from mmengine.optim import OptimWrapper
from mmrazor.registry import MODELS
from torch import nn
from torch.optim import Optimizer

from razor_ext.pruning import PruningAlgorithm
from razor_ext.pruning.optim import OPTIMIZER_KEYS
from razor_ext.pruning.steps import check_trained
from razor_ext.quantization import calibrate, count_costs, summarize_costs
from razor_ext.structure.demo_input import GivenInput
from razor_ext.structure.slicing import static_copy

from .finished import FinishedModel, finish
from .inputs import SampleCount, one_input
from .optimizer import build_optimizer, check_unused

#: Batches that calibration looks at.
CALIBRATION_BATCHES = 8
#: Arguments of an algorithm that a loop of one's own has no use for.
_OF_CONFIGS = ('architecture', 'checkpoint', 'data_preprocessor', 'demo_input', 'distill',
               'distiller', 'init_cfg', 'mutator')


class Compression:
    """A model that is compressed while a user's own loop trains it.

    Attributes:
        model: the model given to `compress`, to be trained as ever.
        optimizer: takes the steps; learning rate schedulers are made of it.
        algorithm: the pruning algorithm.
        steps: optimizer steps taken.
        total_steps: optimizer steps of the whole run.
    """

    def __init__(self, algorithm: PruningAlgorithm, optimizer: Optimizer, total_steps: int,
                 calibration: list[Any], dense_costs: dict[str, float]) -> None:
        self.algorithm, self.optimizer, self.total_steps = algorithm, optimizer, total_steps
        self.model: nn.Module = algorithm.architecture
        self.steps = 0
        self._calibration, self._dense_costs = calibration, dense_costs
        self._samples = SampleCount()
        self._samples.watch(self.model)
        self._wrapper = OptimWrapper(optimizer)
        algorithm.check_trains()
        self.plan = algorithm.start(self._wrapper, total_steps)
        algorithm.before_step(0, total_steps, 1.)
        optimizer.register_step_post_hook(self._after_step)

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self.algorithm.after_step(self.steps, self.total_steps, self._samples.take())
        self.steps += 1
        self.algorithm.before_step(self.steps, self.total_steps, 1.)

    def progress(self) -> dict[str, float]:
        """Return sparsity, costs and mean bits of the model as it is, by name."""
        return self.algorithm.progress(self._wrapper)

    def stage(self) -> str:
        """Return the name of the present stage, '' where the algorithm has none."""
        return self.algorithm.stage(self._wrapper)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a run is resumed from."""
        return {'algorithm': self.algorithm.state_dict(), 'steps': self.steps,
                'optimizer': self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called, in a compression made by the same arguments.

        Raises:
            ValueError: it is of another run.
        """
        missing = {'algorithm', 'steps', 'optimizer'} - set(state)
        if missing:
            raise ValueError(f'the state has no {", ".join(sorted(missing))}: give what '
                             'Compression.state_dict() has returned')
        self.algorithm.load_state_dict(state['algorithm'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.steps = state['steps']
        if self.steps < self.total_steps:
            self.algorithm.before_step(self.steps, self.total_steps, 1.)

    def finish(self, folder: str | os.PathLike | None = None, onnx: bool = True,
               parity_threshold: float = 1e-4, integer_threshold: float = 0.35) -> FinishedModel:
        """Check what the run has reached, slice it, and write it.

        Args:
            folder: where `fix_subnet.json`, `quant.json`, `compressed.pth`, `units.json` and the
                ONNX file go; None writes nothing.
            onnx: whether the ONNX file is written too.
            parity_threshold: largest difference of the float ONNX file from torch.
            integer_threshold: largest relative error of the integers from fake quantization.

        Raises:
            NothingTrainedError: no step was taken, or every one was skipped.
            TargetMissedError: the target was missed, and by how much; train on.
            ParityError: the ONNX file is not the model; the other files are written.
        """
        check_trained(self.steps, self.algorithm.trained_steps(self._wrapper, self.steps))
        compressed = self.algorithm.compressed()
        batches = None
        if folder is not None and onnx:
            batches = [one_input(batch) for batch in self._calibration or [compressed.data]]
        costs = summarize_costs(count_costs(compressed.model, compressed.data),
                                self._dense_costs['macs'])
        return finish(compressed, {'dense': self._dense_costs, 'compressed': costs}, folder,
                      batches, parity_threshold, integer_threshold)


def compress(model: nn.Module, example_inputs: Any, optimizer: Optimizer, total_steps: int, *,
             calibration: Iterable[Any] = (), method: str = 'GETA', **settings: Any) -> Compression:
    """Begin to compress a model in a training loop of one's own.

    Args:
        model: the dense model with its weights. It is changed in place: quantizers are placed in
            its layers.
        example_inputs: what the model is traced on, a batch of 1: a tensor, a tuple of arguments,
            or a mapping of keyword arguments.
        optimizer: a new optimizer over the model's parameters. GETA takes SGD, Adam and AdamW, with
            their param groups, and returns one of its own in their place.
        total_steps: optimizer steps of the whole run.
        calibration: batches of inputs, of which the first eight set the ranges of activations;
            needed where something is quantized.
        method: type of an algorithm of `razor_ext.pruning`, as in configs: 'GETA', 'GroupFisher',
            'L1Pruning', ...
        settings: arguments of the algorithm (`target`, `quant`, `stages`, `schedule`, `divisor`,
            `keep`, ...), and of its optimizer (`lr_quant`, `saliency`, `rule`).

    Returns:
        The model and optimizer to train with, and what finishes the run.

    Raises:
        ValueError: a bad setting, or nothing to calibrate on.
        NothingToPruneError: no channel of the model can be pruned.

    Example:
        >>> model = VGG7()                                                    # doctest: +SKIP
        >>> compression = razor_ext.compress(                                 # doctest: +SKIP
        ...     model, torch.randn(1, 3, 32, 32), SGD(model.parameters(), lr=0.01, momentum=0.9),
        ...     total_steps=epochs * len(loader), calibration=(x for x, _ in loader),
        ...     target=dict(kind='macs', ratio=0.5), quant=dict(weight_bits=(4, 8)))
        >>> for x, y in loader:                                               # doctest: +SKIP
        ...     loss(compression.model(x), y).backward()
        ...     compression.optimizer.step()
        ...     compression.optimizer.zero_grad()
        >>> small = compression.finish('work_dirs/vgg7').model                # doctest: +SKIP
    """
    if isinstance(total_steps, bool) or not isinstance(total_steps, int) or total_steps < 1:
        raise ValueError(f'total_steps={total_steps!r} must be a positive number of steps')
    unused = [key for key in _OF_CONFIGS if key in settings]
    if unused:
        raise ValueError(f'{", ".join(unused)} belong to runs by a config: load the weights into '
                         'the model, and add what a teacher says to your loss')
    check_unused(optimizer, model)
    options = {key: settings.pop(key) for key in OPTIMIZER_KEYS if key in settings}
    kind = MODELS.get(method)
    if not (isinstance(kind, type) and issubclass(kind, PruningAlgorithm)):
        raise ValueError(f'method={method!r} is no pruning algorithm; known: '
                         f'{", ".join(_methods())}')
    batches = [_as_arguments(batch) for batch in islice(calibration, CALIBRATION_BATCHES)]
    if settings.get('quant') is not None and not batches:
        raise ValueError('quant is set, but there is no calibration: give batches of inputs, e.g. '
                         'calibration=(x for x, _ in loader)')
    training = model.training
    model.eval()
    dense_costs = summarize_costs(count_costs(static_copy(model), example_inputs))
    algorithm = kind(model, demo_input=GivenInput(example_inputs), **settings)
    if algorithm.quantizes:
        calibrate(model, batches)
    model.train(training)
    return Compression(algorithm, build_optimizer(algorithm, optimizer, options), total_steps,
                       batches, dense_costs)


def _as_arguments(batch: Any) -> Any:
    return tuple(batch) if isinstance(batch, list) else batch


def _methods() -> list[str]:
    return sorted(name for name, kind in MODELS.module_dict.items()
                  if isinstance(kind, type) and issubclass(kind, PruningAlgorithm)
                  and kind.__name__ == name)
