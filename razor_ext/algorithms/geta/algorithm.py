"""GETA as an MMRazor algorithm."""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmrazor.registry import MODELS
from torch import Tensor, nn

from razor_ext.pruning import ChannelIndex, PruningAlgorithm, TargetMissedError
from razor_ext.pruning.bops import BopsTarget
from razor_ext.pruning.costs import StructureCosts, mean_bits, present_bits
from razor_ext.quantization import (
    QuantConfig,
    find_products,
    quantize_model,
    quantizer_handles,
)

from .bit_budget import allocate, bit_operations
from .bit_tables import WHOLE, bit_products, bits_in_range, by_layer
from .projection import BitBank
from .qasso import QASSO
from .quant_settings import read_quant
from .sparse_optimizer import GroupSparseOptimizer
from .stages import BitRange, StagePlan, Stages


@MODELS.register_module()
class GETA(PruningAlgorithm):
    """Joint structured pruning and mixed-precision quantization (Qu et al., arXiv:2502.16638).

    With `quant=None` it only prunes, with `target=None` it only quantizes. Its optimizer, QASSO,
    chooses the channels and forgets them; `PruningHook` sets the stages and writes the result.

    Args:
        architecture: the dense model, or its config.
        quant: arguments of `QuantConfig`, whose bits are the range of the finished model; further
            `start_bits`, where all bit widths start from, and `mean_bits`: the final widths cost
            together at most what this one width would, each bit spent where it spares most loss.
            None leaves everything float.
        target: see `PruningAlgorithm`. BOPs are counted at the bits of the moment, and what the
            channels leave of them is given to bit widths where it spares most loss. Latency is
            counted at the most bits of the range. None prunes nothing.
        stages: arguments of `Stages`, fractions of the run or optimizer steps.
        kwargs: see `PruningAlgorithm`.

    Raises:
        ValueError: nothing to compress, or a bad target.
        NothingToPruneError: no channel of the architecture can be pruned.
        QuantConfigError: a bad `quant`.

    Example:
        >>> MODELS.build(dict(type='mmrazor.GETA', architecture=dense_config,
        ...                   quant=dict(weight_bits=(4, 8), activation_bits=(4, 8)),
        ...                   target=dict(kind='macs', ratio=0.5)))
    """

    title = 'geta'

    def __init__(self,
                 architecture: BaseModel | dict,
                 quant: Mapping[str, Any] | None = None,
                 target: Mapping[str, Any] | None = None,
                 stages: Mapping[str, Any] | None = None,
                 **kwargs: Any) -> None:
        if quant is None and target is None:
            raise ValueError('quant and target are both None: set quant to quantize, target to '
                             'prune, or both')
        self.quant_config, self.start_bits, self.mean_bits = read_quant(quant, target)
        self.stages = Stages(**(stages or {}))
        self._products: dict[str, int] = {}
        self._costs: StructureCosts | None = None
        self._bank: BitBank | None = None
        self._index: ChannelIndex | None = None
        super().__init__(architecture, target=target, **kwargs)

    @property
    def quantizes(self) -> bool:
        """Whether the run quantizes too."""
        return self.quant_config is not None

    def prepare(self) -> None:
        """Find the products of activations; see the base class."""
        if self.quant_config is not None and self.quant_config.products:
            with torch.random.fork_rng():
                inputs = self.mutator.demo_data(self.architecture)
            self._products = find_products(self.architecture, inputs)

    def transform(self) -> None:
        """Place the quantizers; see the base class."""
        if self.quantizes:
            self.quant_infos = quantize_model(self.architecture, self._training_config(),
                                              self._products)

    def __getstate__(self) -> dict[str, Any]:
        # What is made when it is first asked for belongs to this very model, not to its copies.
        return {**self.__dict__, '_costs': None, '_bank': None, '_index': None}

    def _training_config(self) -> QuantConfig:
        """The quantizers' own limits: from the fewest bits to where training starts."""
        def widened(limits: tuple[int, int] | None) -> tuple[int, int] | None:
            return None if limits is None else (limits[0], max(limits[1], self.start_bits))

        config, keys = self.quant_config, ('weight_bits', 'activation_bits')
        assert config is not None  # asked where it quantizes
        layers = {name: {key: widened(value) if key in keys else value
                         for key, value in own.items()} for name, own in config.layers.items()}
        return QuantConfig(**{**vars(config), 'layers': layers,
                              **{key: widened(getattr(config, key)) for key in keys}})

    def bit_ranges(self) -> dict[str, BitRange]:
        """Range of bit widths of every quantizer, by name."""
        ranges: dict[str, BitRange] = {}
        if self.quant_config is None:
            return ranges
        for handle in quantizer_handles(self.architecture):
            own = self.quant_config.for_layer(handle.name.rpartition('.')[0])
            limits = own.activation_bits if handle.weight is None else own.weight_bits
            assert limits is not None  # or there would be no quantizer
            low, high = limits
            ranges[handle.name] = BitRange(low, high, max(high, self.start_bits))
        return ranges

    def most_bits(self) -> dict[str, dict[str, float]]:
        """Bit widths of all layers at the upper end of their ranges."""
        return by_layer(self.architecture, {name: limits.max_bits for name, limits
                                            in self.bit_ranges().items()})

    def fewest_bits(self) -> dict[str, dict[str, float]]:
        """Bit widths of all layers at the lower end of their ranges."""
        return by_layer(self.architecture, {name: limits.min_bits for name, limits
                                            in self.bit_ranges().items()})

    def expected_bits(self) -> dict[str, dict[str, float]]:
        """Bit widths of all layers now, inside their final ranges."""
        return by_layer(self.architecture, bits_in_range(self.architecture, self.bit_ranges()))

    def bit_chooser(self) -> Callable[[list[float]], list[int]] | None:
        """Return what chooses the final bits; None where they are the present ones, rounded."""
        target, mean = self.build_target(), self.mean_bits
        if isinstance(target, BopsTarget):
            target.prepare(self.mutator.chooser())
        elif mean is None:
            return None

        def choose(losses: list[float]) -> list[int]:
            ranges = [(r.min_bits, r.max_bits) for r in self.bit_ranges().values()]
            products = bit_products(self.architecture,
                                    self._structure_costs().layers(self.structure()))
            if isinstance(target, BopsTarget):
                return allocate(ranges, products, losses, target.limit)
            assert mean is not None  # or the bits are the present ones
            return allocate(ranges, products, losses, bit_operations(
                products, [min(max(mean, low), high) for low, high in ranges]))

        return choose

    # ---- a run: the optimizer chooses and forgets, see QASSO

    def start(self, optim_wrapper: OptimWrapper, max_iters: int) -> str:
        """Resolve the stages against the length of the run; see the base class.

        Raises:
            ValueError: the stages are longer than the run, or the optimizer wrapper is not a single
                one.
        """
        if not isinstance(optim_wrapper, OptimWrapper):
            raise ValueError(f'GETA needs one optimizer, not a {type(optim_wrapper).__name__}')
        plan = self.stages.resolve(math.ceil(max_iters / optim_wrapper._accumulative_counts))
        if isinstance(optim_wrapper.optimizer, GroupSparseOptimizer):
            optim_wrapper.optimizer.set_plan(plan)
        return _describe(plan)

    def follow(self, average: PruningAlgorithm, optim_wrapper: OptimWrapper) -> None:
        """Keep an average pruned and inside the bit ranges; see the base class."""
        super().follow(average, optim_wrapper)
        optimizer = optim_wrapper.optimizer
        if not isinstance(optimizer, GroupSparseOptimizer) or not optimizer.steps:
            return
        index = None if average.target_cfg is None else average.channel_index()
        bank = average.bit_bank()
        if isinstance(optimizer, QASSO):
            optimizer.constrain_(index, bank)
        elif index is not None:
            optimizer.constrain_(index)

    def trained_steps(self, optim_wrapper: OptimWrapper, taken: int) -> int:
        """Return the steps that were not skipped; see the base class."""
        optimizer = optim_wrapper.optimizer
        if not isinstance(optimizer, GroupSparseOptimizer):
            return taken
        return optimizer.steps - optimizer.skipped_steps

    def channel_index(self) -> ChannelIndex:
        """Return the flat index of the architecture."""
        if self._index is None:
            self._index = self.mutator.channel_index(self.architecture)
        return self._index

    def bit_bank(self) -> BitBank | None:
        """Return the quantizers of the architecture; None where there are none."""
        if self._bank is None and self.quantizes:
            handles = quantizer_handles(self.architecture)
            if handles:
                self._bank = BitBank(handles, BitRange(), BitRange(), self.bit_ranges())
        return self._bank

    def pruned_channels(self, architecture: nn.Module) -> Tensor:
        """Return the channels [C] whose parameters are all zero; see the base class."""
        return self.mutator.channel_index(architecture).zeros().cpu()

    def stage(self, optim_wrapper: OptimWrapper) -> str:
        """Return the present stage; see the base class."""
        optimizer = optim_wrapper.optimizer
        return optimizer.stage if isinstance(optimizer, GroupSparseOptimizer) else ''

    def progress(self, optim_wrapper: OptimWrapper) -> dict[str, float]:
        """Return sparsity, mean bits and costs; see the base class."""
        costs = self._structure_costs()
        structure, bits = self.structure(), present_bits(self.architecture)
        summary = costs.summary(structure, bits)
        scalars = {'sparsity': self.sparsity(structure),
                   **mean_bits(costs.layers(structure), bits),
                   **{name: summary[name] for name in ('macs', 'bops', 'relative_bops', 'params')}}
        if isinstance(optim_wrapper.optimizer, GroupSparseOptimizer):
            scalars['skipped_steps'] = optim_wrapper.optimizer.skipped_steps
        return scalars

    def _structure_costs(self) -> StructureCosts:
        if self._costs is None:
            self._costs = StructureCosts(self.architecture, self.mutator)
        return self._costs

    # ---- what comes of it

    def check(self, architecture: nn.Module) -> Tensor:
        """Check channels and bit widths; see the base class.

        Raises:
            TargetMissedError: says by how much, or which bit width is off.
        """
        pruned = super().check(architecture)
        if self.quantizes:
            self._check_bits(architecture)
        return pruned

    def _check_bits(self, architecture: nn.Module) -> None:
        ranges = self.bit_ranges()
        for handle in quantizer_handles(architecture):
            if not handle.quantizer.calibrated:
                raise TargetMissedError(f'{handle.name} was never calibrated: add '
                                        'mmrazor.GETACalibrationHook to default_hooks')
            bits, limits = handle.quantizer.bits().item(), ranges[handle.name]
            whole = round(bits) if math.isfinite(bits) else 0
            if abs(bits - whole) > WHOLE or not limits.min_bits <= whole <= limits.max_bits:
                raise TargetMissedError(
                    f'{handle.name} has {bits:.4f} bits, which is no whole width in '
                    f'[{limits.min_bits}, {limits.max_bits}]. The checkpoints are kept: the run '
                    'was stopped early (resume it), has diverged (lower the learning rate), or its '
                    'optimizer is not QASSO')


def _describe(plan: StagePlan) -> str:
    return (f'stages in optimizer steps: warm-up from 0, projection from {plan.warmup} '
            f'({plan.projection_periods} stairs), joint from {plan.pruning_start} '
            f'({plan.pruning_periods} periods of {plan.period}), cool-down from '
            f'{plan.pruning_stop} to {plan.total}')
