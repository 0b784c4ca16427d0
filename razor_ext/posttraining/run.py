"""Prune, reconstruct and quantize a model by images alone."""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from razor_ext.graph import slice_model
from razor_ext.graph.slicing import complement, removed_positions
from razor_ext.pruning import Compressed
from razor_ext.quantization import LayerCost, QuantizedLayerInfo
from razor_ext.quantization.allocation import Side
from razor_ext.structure.export import check_finite
from razor_ext.structure.slicing import slice_quantized, static_copy

from .algorithm import ALLOCATIONS, PostTraining
from .quantize import quantize, uniform_bops
from .reconstruction import Teacher, reconstruct, watch_dense
from .samples import Samples, held_loss, images_at_once, outputs, stacked
from .scores import SCORES

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Finished:
    """What has come of it.

    Attributes:
        compressed: the sliced model, and what its folder holds.
        figures: what was tried and found: `images`, `dense_loss`, `variants` (held-out loss by
            name), `chosen`, `layers` (relative error before and after), `ranges`, `bits`, ...
    """

    compressed: Compressed
    figures: dict[str, Any]


@dataclass(frozen=True)
class _Seen:
    """What is found out about the dense model once: scores by name, and what its layers return."""

    scores: dict[str, np.ndarray]
    batch: dict[str, Any]
    teacher: Teacher


@dataclass(frozen=True)
class _Pruned:
    model: nn.Module
    keep: dict[str, Tensor]
    errors: dict[str, tuple[float, float]]
    loss: float


def compress_without_training(algorithm: PostTraining, samples: Samples, tell: Tell = print,
                              seed: int = 0) -> Finished:
    """Compress a model by images alone; its target is met exactly.

    Channels are chosen by several scores, shared out over the units in several ways; the layers
    are fitted to the dense model's outputs; and the variant of the least loss on images that
    neither scores nor fits have seen is taken. Then bits are chosen by measured sensitivity.

    Args:
        algorithm: with the weights of the dense model.
        samples: images.
        tell: takes lines for the log.
        seed: of the places that layers are fitted at.

    Raises:
        ValueError: the target is beyond reach, or a weight is not finite.
        TargetMissedError: the target was missed.
    """
    algorithm.eval()
    figures: dict[str, Any] = {'images': samples.images,
                               'dense_loss': held_loss(algorithm.architecture, samples)}
    tell(f'dense model: held-out loss {figures["dense_loss"]:.4f}')
    kind = None if algorithm.target_cfg is None else algorithm.target_cfg['kind']
    # Of bit operations, pruning leaves the more the fewer bits there are.
    widths = list(algorithm.widths()) if kind == 'bops' else [None]
    seen = None if kind is None else _look(algorithm, samples, tell, seed)
    results = []
    for width in widths:
        try:
            results.append(_at_width(algorithm, samples, seen, tell, width))
        except ValueError as error:
            if len(widths) == 1 or (not results and width == widths[-1]):
                raise
            tell(f'{width} bits: {error}')
    model, keep, infos, found = min(results, key=lambda result: result[3]['loss'])
    if len(results) > 1:
        found['splits'] = {str(result[3]['width']): result[3]['loss'] for result in results}
        tell(f'pruned for {found["width"]} bits on average: held-out loss '
             + ', '.join(f'{bits} bits {loss:.4f}' for bits, loss in found['splits'].items()))
    check_finite(model)
    model = static_copy(model).eval()
    if not all(bool(mask.all()) for mask in keep.values()):
        # Proves this very choice on the float model.
        slice_model(static_copy(algorithm.architecture), algorithm.mutator.graph, keep)
    structure = {name: int(mask.sum()) for name, mask in keep.items()}
    return Finished(Compressed(model, structure, infos, algorithm.mutator.demo_data(model),
                               algorithm.mutator.graph.units), {**figures, **found})


def _look(algorithm: PostTraining, samples: Samples, tell: Tell, seed: int) -> _Seen:
    model = algorithm.architecture
    index = algorithm.mutator.channel_index(model)
    scores: dict[str, np.ndarray] = {}
    for name in algorithm.scores:
        try:
            values = SCORES[name](algorithm, index, samples.fit).double().cpu().numpy()
        except RuntimeError as error:  # of a criterion that such a model is not for
            if name == algorithm.scores[-1] and not scores:
                raise
            tell(f'{name} scores are left out: {error}')
            continue
        if not np.isfinite(values).all():
            raise ValueError(f'the {name} scores are not finite: the loss of the dense model is '
                             'not on these images; look at the checkpoint and the data')
        scores[name] = values
    batch = stacked(samples.fit, images_at_once(model, samples.fit[0]))
    return _Seen(scores, batch, watch_dense(model, lambda net: outputs(net, batch), seed))


def _at_width(algorithm: PostTraining, samples: Samples, seen: _Seen | None, tell: Tell,
              width: int | None) -> tuple[nn.Module, dict[str, Tensor], list, dict[str, Any]]:
    figures: dict[str, Any] = {}
    if seen is None:
        graph = algorithm.mutator.graph
        whole = {unit.name: torch.ones(unit.num_channels, dtype=torch.bool)
                 for unit in graph.units}
        pruned = _Pruned(slice_quantized(algorithm.architecture, graph, whole).eval(), whole, {},
                         math.nan)
    else:
        pruned, figures = _prune(algorithm, samples, seen, tell, width)
    model = pruned.model
    infos: list[QuantizedLayerInfo] = []
    if algorithm.quant_config is not None:
        dense_macs = algorithm.mutator.graph.total_macs

        def budget(layers: list[LayerCost], sides: list[Side]) -> float | None:
            if width is not None:
                assert algorithm.target_cfg is not None  # of bit operations
                return algorithm.target_cfg['ratio'] * dense_macs * 1024.0
            if algorithm.mean_bits is None:
                return None
            return uniform_bops(layers, sides, algorithm.mean_bits)

        infos, found = quantize(model, algorithm.quant_config, algorithm.products(model),
                                algorithm.mutator.demo_data(model), samples, budget, tell)
        figures.update(found)
    loss = held_loss(model, samples)
    tell(f'compressed: held-out loss {loss:.4f}')
    return model, pruned.keep, infos, {**figures, 'loss': loss, 'width': width}


def _prune(algorithm: PostTraining, samples: Samples, seen: _Seen, tell: Tell, width: int | None
           ) -> tuple[_Pruned, dict[str, Any]]:
    tried: dict[str, _Pruned] = {}

    def attempt(name: str, keep: dict[str, Tensor], norms: bool) -> None:
        tried[name] = _variant(algorithm, keep, seen, samples, norms)
        tell(f'{name}: held-out loss {tried[name].loss:.4f}')

    for score, values in seen.scores.items():
        for allocation in ALLOCATIONS:
            keep = _choose(algorithm, values, allocation, width)
            if not any(_same(keep, other.keep) for other in tried.values()):
                attempt(f'{score}, {allocation}', keep, False)
    best = _least(tried)
    attempt(f'{best}, norms anew', tried[best].keep, True)
    best = _least(tried)
    tell(f'taken: {best}')
    return tried[best], {'variants': {name: found.loss for name, found in tried.items()},
                         'chosen': best, 'layers': tried[best].errors}


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(mask, other[name]) for name, mask in one.items())


def _least(tried: dict[str, _Pruned]) -> str:
    """Return the name of the variant of the least loss; one that is not finite comes last."""
    return min(tried, key=lambda name: (not math.isfinite(tried[name].loss), tried[name].loss))


def _choose(algorithm: PostTraining, scores: np.ndarray, allocation: str, width: int | None
            ) -> dict[str, Tensor]:
    target, chooser = algorithm.build_target_at(allocation, width), algorithm.mutator.chooser()
    assert target is not None and algorithm.target_cfg is not None  # there is something to prune
    target.prepare(chooser)
    chosen = target.choose_at(chooser, scores, np.zeros(chooser.total, dtype=bool), 1.0)
    target.check(chooser, chosen, algorithm.target_cfg['kind'])
    masks = torch.from_numpy(~chosen).split(list(chooser.sizes))
    return dict(zip(chooser.names, masks))


def _variant(algorithm: PostTraining, keep: dict[str, Tensor], seen: _Seen, samples: Samples,
             norms: bool) -> _Pruned:
    graph = algorithm.mutator.graph
    sliced = slice_quantized(algorithm.architecture, graph, keep).eval()
    tensors = dict(algorithm.architecture.named_parameters())
    kept = {(name, dim): complement(positions, tensors[name].shape[dim])
            for (name, dim), positions in removed_positions(graph.units, keep).items()
            if name in tensors}
    errors = reconstruct(sliced, seen.teacher, kept, lambda net: outputs(net, seen.batch), norms)
    return _Pruned(sliced, keep, errors, held_loss(sliced, samples))
