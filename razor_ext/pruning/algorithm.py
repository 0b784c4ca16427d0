"""What every pruning algorithm over the dependency graph is."""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmrazor.registry import MODELS
from torch import Tensor, nn

from razor_ext.quantization import QuantizedLayerInfo
from razor_ext.structure.export import check_finite
from razor_ext.structure.preprocessing import split_preprocessor
from razor_ext.structure.rebuild import (
    UnprunedError,
    layout_versions,
    read_checkpoint,
    with_versions,
)

from .chooser import Divisor
from .distillation import DistilledAlgorithm
from .export import Compressed, compress, finished_copy
from .frozen_layers import frozen_weights
from .morphing import build_morphing, mixes_of
from .mutator import GraphMutator
from .target_config import build_target, check_target_config
from .targets import Target


class PruningAlgorithm(DistilledAlgorithm):
    """Base class of the algorithms over the dependency graph.

    A subclass says which channels are pruned (`pruned_channels`) and does its part in `start`,
    `before_step`, `after_step` and `follow`, which `PruningHook` calls.

    Args:
        architecture: the dense model, or its config.
        checkpoint: weights of the dense model; None where `architecture.init_cfg` names them.
        target: what to prune: `dict(kind='sparsity', ratio=share of channels to prune)`, or the
            share to leave of `kind='macs'`, `'params'`, `'bops'` or `'latency'`, of the dense float
            model. Latency is read from `table`, a file that tools/analysis/latency_table.py
            measures. Further keys are arguments of `SparsityTarget` or `CostTarget`.
        divisor: channel counts are multiples of it: a number, or a table by unit name.
        min_channels: channels that every unit keeps at least.
        min_ratio: share of its channels that every unit keeps at least.
        keep: exact dotted names of modules or parameters of the architecture to leave whole.
        demo_input: makes the input on which the model is traced: a shape with a batch of 1, or the
            config of one of MMRazor's demo inputs; None for that of the model's family.
        mutator: the channel mutator or its config, in place of the settings of channels above.
        distill: learn from the dense model what the model's family names as its outputs; or
            options of `OutputDistillation`, `dict(weight=1.0, temperature=2.0)`.
        distiller: one of MMRazor's distillers, to learn from the dense model as well.
        activation: arguments of `Morphing`: activations that change into cheaper ones while the
            run trains, `dict(to='ReLU')` for all of them; None leaves them.
        data_preprocessor: the data preprocessor; None for the architecture's.
        init_cfg: initialisation config.

    Raises:
        ValueError: a bad target, or settings that contradict each other.
        NothingToPruneError: no channel of the architecture can be pruned.
    """

    #: Prefix of what a run reports.
    title = 'prune'
    #: Options of `target` that the algorithm sets unless the config does.
    target_defaults: Mapping[str, Any] = {}
    architecture: BaseModel
    #: What is quantized and why not; empty for a float model.
    quant_infos: list[QuantizedLayerInfo]

    def __init__(self,
                 architecture: BaseModel | dict,
                 checkpoint: str | None = None,
                 target: Mapping[str, Any] | None = None,
                 divisor: Divisor = 1,
                 min_channels: int = 1,
                 min_ratio: float = 0.0,
                 keep: Sequence[str] = (),
                 demo_input: Sequence[int] | Mapping | None = None,
                 mutator: GraphMutator | dict | None = None,
                 distill: bool | Mapping[str, Any] = False,
                 distiller: dict | None = None,
                 activation: Mapping[str, Any] | None = None,
                 data_preprocessor: nn.Module | dict | None = None,
                 init_cfg: dict | None = None) -> None:
        architecture, data_preprocessor = split_preprocessor(architecture, data_preprocessor)
        super().__init__(architecture, data_preprocessor, init_cfg)
        if checkpoint is not None:
            self.architecture.init_cfg = dict(type='Pretrained', checkpoint=checkpoint)
        self.quant_infos = []
        self.morphing = build_morphing(activation)
        #: Activations that the run exchanges: module -> what it becomes.
        self.activations: dict[str, str] = {}
        self.target_cfg = None if target is None else dict(target)
        check_target_config(self.target_cfg, self.quantizes)
        rules = dict(divisor=divisor, min_channels=min_channels, min_ratio=min_ratio, keep=keep,
                     demo_input=demo_input)
        self.mutator = MODELS.build(_mutator_config(mutator, rules))
        self.architecture = revert_sync_batchnorm(self.architecture)
        self.mutator.prepare_from_supernet(self.architecture)
        self.keep_teacher(distiller, distill)
        if self.morphing is not None:
            self.activations = self.morphing.place(self.architecture)
        self.mutator.mask_norms(self.architecture)
        self.prepare()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            self.architecture = nn.SyncBatchNorm.convert_sync_batchnorm(self.architecture)
        self.transform()
        self.build_distiller(distiller)

    @property
    def quantizes(self) -> bool:
        """Whether the run quantizes too."""
        return False

    def prepare(self) -> None:
        """Do what needs the analysed float model, before batch norms are synchronised."""

    def transform(self) -> None:
        """Change the architecture for training, where the algorithm does (quantizers)."""

    def most_bits(self) -> dict[str, dict[str, float]]:
        """Return the most bits of the quantized sides of each layer; a missing layer is float."""
        return {}

    def fewest_bits(self) -> dict[str, dict[str, float]]:
        """Return the fewest bits of the quantized sides of each layer."""
        return {}

    def expected_bits(self) -> dict[str, dict[str, float]]:
        """Return the bits of the quantized sides of each layer that the run now leads to."""
        return {}

    def build_target(self) -> Target | None:
        """Make the target; None where nothing is to be pruned."""
        return build_target(self, self.target_cfg, self.target_defaults)

    # ---- a run, as PruningHook drives it

    def check_trains(self) -> None:
        """Refuse to prune layers that were frozen after they were analysed.

        Raises:
            ValueError: names them.
        """
        frozen = {name for name in frozen_weights(self.architecture)
                  for unit in self.mutator.mutable_units
                  if any(member.name == name for member in unit.members)}
        if self.target_cfg is not None and frozen:
            raise ValueError(
                f'{", ".join(sorted(frozen))} would be pruned, but were frozen after the model was '
                'analysed, so that no gradient says what their channels are worth: freeze them '
                'before the algorithm is built, or name them in `keep`')

    def start(self, optim_wrapper: OptimWrapper, max_iters: int) -> str:
        """Prepare for a run.

        Args:
            optim_wrapper: the optimizer.
            max_iters: iterations of the run.

        Returns:
            What will happen when, for the log.
        """
        raise NotImplementedError

    def before_step(self, iteration: int, max_iters: int, grad_scale: Tensor | float) -> None:
        """Look at the step to come.

        Args:
            iteration: number of the step, from 0.
            max_iters: iterations of the run.
            grad_scale: factor on the loss (mixed precision) that the gradients will hold.
        """
        if self.morphing is not None:
            self.morphing.step(mixes_of(self.architecture, self.activations), iteration, max_iters)

    def after_step(self, iteration: int, max_iters: int, num_samples: int) -> None:
        """Do what a step of the optimizer is followed by.

        Args:
            iteration: number of the step, from 0.
            max_iters: iterations of the run.
            num_samples: samples of the step on this rank.
        """

    def follow(self, average: PruningAlgorithm, optim_wrapper: OptimWrapper) -> None:
        """Keep an averaged copy of the algorithm (EMA) compressed as this one is."""
        for followed, mix in zip(mixes_of(self.architecture, self.activations),
                                 mixes_of(average.architecture, self.activations)):
            mix.follow(followed)

    def trained_steps(self, optim_wrapper: OptimWrapper, taken: int) -> int:
        """Return how many steps of a run have trained.

        Args:
            optim_wrapper: the optimizer.
            taken: steps that it has taken, of a resumed run those before it too.
        """
        return taken

    def is_pruned(self, iteration: int, max_iters: int) -> bool:
        """Whether nothing further is pruned after an iteration."""
        return False

    def pruned_channels(self, architecture: nn.Module) -> Tensor:
        """Return the channels [C] of a model of this structure that are pruned, on the CPU."""
        raise NotImplementedError

    def structure(self) -> dict[str, int]:
        """Return the channels that each unit has left now."""
        pruned = self.pruned_channels(self.architecture).numpy()
        return self.mutator.chooser().structure(pruned)

    def sparsity(self, structure: Mapping[str, int]) -> float:
        """Return the share of all prunable channels that a structure has pruned."""
        return 1 - sum(structure.values()) / sum(self.mutator.choice_template.values())

    def progress(self, optim_wrapper: OptimWrapper) -> dict[str, float]:
        """Return what to report of the run, by name."""
        structure, graph = self.structure(), self.mutator.graph
        return {'sparsity': self.sparsity(structure),
                'macs': graph.macs(structure), 'params': graph.params(structure)}

    def stage(self, optim_wrapper: OptimWrapper) -> str:
        """Return the name of the present stage, '' where there are none."""
        return ''

    # ---- what comes of it

    def check(self, architecture: nn.Module) -> Tensor:
        """Check what a run has reached.

        Args:
            architecture: a copy with the final weights.

        Returns:
            Bool [C], the pruned channels.

        Raises:
            TargetMissedError: says by how much.
        """
        pruned, target = self.pruned_channels(architecture), self.build_target()
        if target is not None:
            assert self.target_cfg is not None  # the target was made of it
            chooser = self.mutator.chooser()
            target.prepare(chooser)
            target.check(chooser, pruned.numpy(), self.target_cfg['kind'])
        return pruned

    def compressed(self, average: PruningAlgorithm | None = None) -> Compressed:
        """Check the result and slice it.

        Args:
            average: an average of this algorithm, to take the weights from.

        Raises:
            ValueError: a weight is not finite.
            TargetMissedError: the target was missed, and by how much, or activations have not
                changed yet.
            SliceError: the sliced model would not be the masked one.
        """
        model = finished_copy(self.architecture,
                              None if average is None else average.architecture)
        check_finite(model)
        return compress(model, self.mutator, self.check(model), self.quant_infos,
                        self.activations)

    def load_run(self, checkpoint: str) -> None:
        """Load a checkpoint of a run of this algorithm, which is freshly built.

        Raises:
            FileNotFoundError: it does not exist.
            ValueError: it is of another model.
            UnprunedError: nothing is pruned in it.
        """
        state = self.run_state(read_checkpoint(checkpoint))
        own = {key: value for key, value in self.state_dict().items()
               if key.startswith(('architecture.', 'masks.'))}
        missing = sorted(set(own) - set(state))
        wrong = sorted(key for key in own
                       if key in state and state[key].shape != own[key].shape)
        if missing or wrong:
            raise ValueError(f'checkpoint {checkpoint!r} is not of the pruning run of this config: '
                             f'{len(missing)} keys are missing (first: '
                             f'{next(iter(missing), None)!r}), {len(wrong)} of another shape '
                             f'(first: {next(iter(wrong), None)!r})')
        self.load_state_dict(state, strict=False)
        if self.target_cfg is not None and not self.pruned_channels(self.architecture).any():
            raise UnprunedError(f'checkpoint {checkpoint!r} holds no pruned channel: nothing was '
                                'pruned yet. Take one from the end of the pruning run')

    def run_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the entries of a checkpoint that a finished run consists of."""
        own = self.state_dict()
        return state_subset(state, [key for key in own if key.startswith('architecture.')])


def state_subset(state: Mapping[str, Tensor], keys: Sequence[str]) -> dict[str, Tensor]:
    """Return entries of a state dict, with the versions of its layout."""
    subset = OrderedDict((key, state[key]) for key in keys if key in state)
    versions = layout_versions(state)
    return subset if versions is None else with_versions(subset, versions)


def _mutator_config(mutator: GraphMutator | dict | None, rules: dict[str, Any]
                    ) -> GraphMutator | dict:
    if mutator is None:
        return dict(type='mmrazor.GraphMutator', **rules)
    defaults = dict(divisor=1, min_channels=1, min_ratio=0.0, keep=(), demo_input=None)
    twice = [name for name, value in rules.items() if value != defaults[name]]
    if twice:
        raise ValueError(f'{", ".join(twice)} and mutator are both set: set '
                         f'{", ".join(f"mutator.{name}" for name in twice)} instead, or leave '
                         'mutator out')
    return mutator
