"""GETA as an MMRazor algorithm."""
from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.runner import CheckpointLoader
from mmrazor.models.algorithms.base import BaseAlgorithm
from mmrazor.registry import MODELS
from torch import Tensor, nn

from razor_ext.quantization import QuantConfig, quantize_model, quantizer_handles

from .costs import StructureCosts
from .latency import latency_cost
from .mutator import GETAMutator
from .stages import BitRange, Stages
from .targets import CostTarget, SparsityTarget, Target

#: Bits that the ceiling of every quantizer starts from.
START_BITS = 16
#: Kinds of targets, and what each takes besides `kind` and `ratio`.
TARGETS = {'sparsity': ('on_unreachable', 'per_unit'), 'macs': ('per_cost', ),
           'params': ('per_cost', ), 'bops': ('per_cost', ), 'latency': ('table', 'per_cost')}


@MODELS.register_module()
class GETA(BaseAlgorithm):
    """Joint structured pruning and mixed-precision quantization (Qu et al., arXiv:2502.16638).

    With `quant=None` it only prunes, with `target=None` it only quantizes. Its optimizer is built
    by `GETAOptimWrapperConstructor`, and `GETAHook` sets the stages and writes the result.

    Args:
        architecture: the model to compress, or its config, with the dense weights in its init_cfg.
        mutator: the channel mutator, or its config.
        quant: arguments of `QuantConfig`, whose bits are the range of the finished model; further
            `start_bits`, where all bit widths start from. None leaves everything float.
        target: what to prune: `dict(kind='sparsity', ratio=share of groups to prune)`, or the share
            to leave of `kind='macs'`, `'params'`, `'bops'` or `'latency'`, of the dense float
            model; counted at the most bits of the range, so that fewer bits only undercut it.
            Latency is read from `table`, a file that tools/analysis/latency_table.py measures.
            `per_cost=False` prunes by score alone, not by score per cost saved, and
            `per_unit=False` (sparsity) by raw scores, not relative to their unit's. None prunes
            nothing.
        stages: arguments of `Stages`, fractions of the run or optimizer steps.
        distiller: one of MMRazor's distillers, to learn from the dense model as well.
        data_preprocessor: the data preprocessor; None for the architecture's.
        init_cfg: initialisation config.

    Raises:
        ValueError: nothing to compress, or a bad target.
        NothingToPruneError: no channel of the architecture can be pruned.
        QuantConfigError: a bad `quant`.
    """

    def __init__(self,
                 architecture: BaseModel | dict,
                 mutator: GETAMutator | dict | None = None,
                 quant: Mapping[str, Any] | None = None,
                 target: Mapping[str, Any] | None = None,
                 stages: Mapping[str, Any] | None = None,
                 distiller: dict | None = None,
                 data_preprocessor: nn.Module | dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(architecture, data_preprocessor, init_cfg)
        if quant is None and target is None:
            raise ValueError('quant and target are both None: set quant to quantize, target to '
                             'prune, or both')
        self.quant_config, self.start_bits = _quant_config(quant)
        self.target_cfg = None if target is None else dict(target)
        _check_target(self.target_cfg, self.quant_config)
        self.stages = Stages(**(stages or {}))
        self.architecture = revert_sync_batchnorm(self.architecture)
        self.mutator = MODELS.build(mutator or dict(type='mmrazor.GETAMutator'))
        self.mutator.prepare_from_supernet(self.architecture)
        self.teacher = None if distiller is None else _frozen_copy(self.architecture)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            self.architecture = nn.SyncBatchNorm.convert_sync_batchnorm(self.architecture)
        self.quant_infos = [] if self.quant_config is None else quantize_model(
            self.architecture, self._training_config())
        self.distiller = None
        if distiller is not None:
            self.distiller = MODELS.build(distiller)
            self.distiller.prepare_from_student(self.architecture)
            self.distiller.prepare_from_teacher(self.teacher)

    def _training_config(self) -> QuantConfig:
        """The quantizers' own limits: from the fewest bits to where training starts."""
        def widened(limits: tuple[int, int] | None) -> tuple[int, int] | None:
            return None if limits is None else (limits[0], max(limits[1], self.start_bits))

        config, keys = self.quant_config, ('weight_bits', 'activation_bits')
        layers = {name: {key: widened(value) if key in keys else value
                         for key, value in own.items()} for name, own in config.layers.items()}
        return QuantConfig(**{**vars(config), 'layers': layers,
                              **{key: widened(getattr(config, key)) for key in keys}})

    def bit_ranges(self) -> dict[str, BitRange]:
        """Range of bit widths of every quantizer, by name."""
        ranges = {}
        for handle in quantizer_handles(self.architecture):
            own = self.quant_config.for_layer(handle.name.rpartition('.')[0])
            low, high = own.activation_bits if handle.weight is None else own.weight_bits
            ranges[handle.name] = BitRange(low, high, max(high, self.start_bits))
        return ranges

    def most_bits(self) -> dict[str, dict[str, float]]:
        """Bit widths of all layers at the upper end of their ranges."""
        table: dict[str, dict[str, float]] = {}
        for name, limits in self.bit_ranges().items():
            layer, _, quantizer = name.rpartition('.')
            table.setdefault(layer, {})[quantizer.removesuffix('_quantizer')] = limits.max_bits
        return table

    def build_target(self) -> Target | None:
        """Make the target of the optimizer."""
        if self.target_cfg is None:
            return None
        options = dict(self.target_cfg)
        kind, ratio = options.pop('kind'), options.pop('ratio')
        if kind == 'sparsity':
            return SparsityTarget(ratio, **options)
        graph = self.mutator.graph
        if kind == 'latency':
            cost, reference = latency_cost(self.architecture, self.mutator, options.pop('table'),
                                           self.most_bits())
            return CostTarget(ratio, cost, reference=reference, **options)
        if kind == 'bops':
            costs, bits = StructureCosts(self.architecture, self.mutator), self.most_bits()
            return CostTarget(ratio, lambda counts: costs.summary(counts, bits)['bops'],
                              reference=graph.total_macs * 1024., **options)
        return CostTarget(ratio, graph.macs if kind == 'macs' else graph.params, **options)

    def init_weights(self) -> None:
        """Load or make the dense weights; the teacher takes the same."""
        super().init_weights()
        if self.teacher is not None:
            checkpoint = (self.architecture.init_cfg or {}).get('checkpoint')
            if not checkpoint:
                raise ValueError('a distiller learns from the dense model: set the checkpoint of '
                                 "the dense model as architecture.init_cfg=dict(type='Pretrained', "
                                 'checkpoint=...)')
            state = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
            self.teacher.load_state_dict(state.get('state_dict', state))

    def train(self, mode: bool = True) -> GETA:
        """Set the training mode; the teacher always evaluates."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def loss(self, inputs: Tensor, data_samples: list | None = None) -> dict[str, Tensor]:
        """Compute the losses of the task, and those of the distiller."""
        if self.distiller is None:
            return super().loss(inputs, data_samples)
        distiller = self.distiller
        distiller.set_deliveries_override(False)
        with distiller.teacher_recorders, distiller.deliveries, torch.no_grad():
            self.teacher(inputs, data_samples, mode='loss')
        distiller.set_deliveries_override(True)
        with distiller.student_recorders, distiller.deliveries:
            losses = self.architecture(inputs, data_samples, mode='loss')
        return {**losses, **distiller.compute_distill_losses()}


def _quant_config(quant: Mapping[str, Any] | None) -> tuple[QuantConfig | None, int]:
    if quant is None:
        return None, START_BITS
    options = dict(quant)
    start = options.pop('start_bits', START_BITS)
    known = QuantConfig.__dataclass_fields__
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f'quant has the unknown keys {unknown}; known: start_bits, '
                         f'{", ".join(known)}')
    return QuantConfig(**options), start


def _check_target(target: dict[str, Any] | None, quant: QuantConfig | None) -> None:
    if target is None:
        return
    known = TARGETS.get(target.get('kind'), ())
    if not known or set(target) - {'kind', 'ratio', *known} or 'ratio' not in target:
        raise ValueError(f'target={target}: give kind (one of {", ".join(TARGETS)}) and ratio, and '
                         f'{" and ".join(known) or "what it takes"} if needed')
    if target['kind'] == 'latency' and 'table' not in target:
        raise ValueError("target kind='latency' without table: set table to the latency file of "
                         'this model, which tools/analysis/latency_table.py measures')
    if target['kind'] == 'bops' and quant is None:
        raise ValueError("target kind='bops' without quant: without quantizers BOPs are MACs times "
                         "1024; set quant, or kind='macs'")


def _frozen_copy(model: nn.Module) -> nn.Module:
    teacher = copy.deepcopy(model).requires_grad_(False).eval()
    # Its weights are loaded by the algorithm.
    teacher.init_weights = lambda: None
    return teacher
