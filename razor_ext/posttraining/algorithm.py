"""What is to be made of a model without training, as a config says it."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmrazor.registry import MODELS
from torch import nn

from razor_ext.pruning import GraphMutator, PruningAlgorithm
from razor_ext.pruning.target_config import build_target
from razor_ext.pruning.targets import Target
from razor_ext.quantization import QuantConfig, find_products, quantize_model, quantizer_handles
from razor_ext.quantization.sensitivity import side_of
from razor_ext.structure.slicing import static_copy

from .scores import SCORES

#: Options of a target that share channels out over the units, by name.
ALLOCATIONS: Mapping[str, Mapping[str, Any]] = {
    'uniform': dict(uniform=True), 'global': dict(per_cost=True)}


@dataclass
class Quantized:
    """A model with quantizers, whose values do not matter, and the bits that they count for."""

    architecture: nn.Module
    mutator: GraphMutator
    bits: Mapping[str, Mapping[str, float]]

    def most_bits(self) -> dict[str, dict[str, float]]:
        """Return the bits of every quantized side."""
        return {layer: dict(sides) for layer, sides in self.bits.items()}

    fewest_bits = expected_bits = most_bits


@MODELS.register_module()
class PostTraining(PruningAlgorithm):
    """Compression by a few hundred images, see `compress_without_training`; it does not train.

    Args:
        architecture: the dense model, or its config.
        quant: arguments of `QuantConfig`, whose bits are the range to choose from; None leaves
            everything float.
        mean_bits: bit operations of the finished model are at most those of this width everywhere;
            None gives every layer the most bits. A target of `bops` says as much by itself.
        scores: names of the scores to try, of `SCORES`.
        kwargs: see `PruningAlgorithm`. A target of `bops` is met by pruning and bits together.

    Raises:
        ValueError: nothing to compress, an unknown score, or a bad target.
    """

    title = 'post_training'

    def __init__(self, architecture: BaseModel | dict, quant: Mapping[str, Any] | None = None,
                 mean_bits: float | None = None,
                 scores: Sequence[str] = ('taylor', 'group_fisher', 'activation'),
                 target: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        if quant is None and target is None:
            raise ValueError('quant and target are both None: set quant to quantize, target to '
                             'prune, or both')
        unknown = [name for name in scores if name not in SCORES]
        if unknown or not scores:
            raise ValueError(f'scores={list(scores)}: give some of {", ".join(SCORES)}')
        self.quant_config = None if quant is None else QuantConfig(**quant)
        self.mean_bits, self.scores = mean_bits, tuple(scores)
        if mean_bits is not None:
            if self.quant_config is None:
                raise ValueError(f'mean_bits={mean_bits} without quant: set quant to quantize')
            widths = self.widths()
            if not widths[-1] <= mean_bits <= widths[0]:
                raise ValueError(f'mean_bits={mean_bits} lies outside the bits of quant, '
                                 f'{widths[-1]} to {widths[0]}')
            if target is not None and target.get('kind') == 'bops':
                raise ValueError(f"mean_bits={mean_bits} and a target of kind 'bops' say the same "
                                 'thing twice: leave one of them out')
        super().__init__(architecture, target=target, **kwargs)

    @property
    def quantizes(self) -> bool:
        """Whether the model is quantized too."""
        return self.quant_config is not None

    def start(self, optim_wrapper: OptimWrapper, max_iters: int) -> str:
        """Refuse to be trained.

        Raises:
            RuntimeError: says which tool runs this config.
        """
        raise RuntimeError('PostTraining is not trained: run tools/post_train.py on this config')

    def widths(self) -> range:
        """Return the widths that every layer may have, the most first."""
        config = self.quant_config
        limits = [] if config is None else [
            pair for pair in (config.weight_bits, config.activation_bits) if pair is not None]
        if not limits:
            return range(0)
        return range(max(high for _, high in limits), min(low for low, _ in limits) - 1, -1)

    def build_target_at(self, allocation: str, width: int | None = None) -> Target | None:
        """Make the target, with channels shared out over the units in one of the known ways.

        Args:
            allocation: name of `ALLOCATIONS`; options that the config sets come first.
            width: bits at which a target of `bops` is counted; None for the most.
        """
        defaults = ALLOCATIONS[allocation]
        if self.target_cfg is None or self.target_cfg['kind'] != 'bops':
            return build_target(self, self.target_cfg, defaults)
        return build_target(self.at_width(width), self.target_cfg, defaults)

    def build_target(self) -> Target | None:
        """Make the target, counted at the most bits; see the base class."""
        return self.build_target_at('uniform')

    def most_bits(self) -> dict[str, dict[str, float]]:
        """Return the most bits of every quantized side; see the base class."""
        return self.at_width(None).most_bits() if self.quantizes else {}

    def at_width(self, width: int | None) -> Quantized:
        """Return what costs are counted of: the model quantized to one width.

        Args:
            width: within the limits of each side; None for the most.
        """
        model = static_copy(self.architecture)
        quantize_model(model, self._config, self.products(model))
        bits: dict[str, dict[str, float]] = {}
        for handle in quantizer_handles(model):
            low, high = handle.bit_limits
            layer, side = side_of(handle)
            bits.setdefault(layer, {})[side] = float(min(max(width or high, low), high))
        return Quantized(model, self.mutator, bits)

    @property
    def _config(self) -> QuantConfig:
        assert self.quant_config is not None  # asked where it quantizes
        return self.quant_config

    def products(self, model: nn.Module) -> dict[str, int]:
        """Return the products of activations of a model of the analysed structure."""
        if not self._config.products:
            return {}
        with torch.random.fork_rng():
            return find_products(model, self.mutator.demo_data(model))
