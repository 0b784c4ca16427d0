"""From a finished pruning run to the sliced model and its files."""
from __future__ import annotations

import os
from dataclasses import dataclass

from torch import Tensor, nn

from razor_ext.algorithms.errors import TargetMissedError
from razor_ext.graph import slice_model
from razor_ext.quantization import fix_bits, quantizer_handles, remove_quantizers
from razor_ext.structure.export import write_compressed
from razor_ext.structure.slicing import slice_quantized, static_copy

from .algorithm import GETA
from .targets import Chooser, CostTarget, SparsityTarget

#: A width this near to a whole number is one: step sizes are held as float32 logarithms.
_WHOLE = 1e-3


@dataclass(frozen=True)
class Compressed:
    """A sliced model.

    Attributes:
        model: sliced, bit widths fixed, on the CPU, in evaluation mode.
        counts: channels kept per unit, all units of the graph.
    """

    model: nn.Module
    counts: dict[str, int]


def finished_copy(algorithm: GETA, state: dict[str, Tensor] | None = None) -> nn.Module:
    """Copy the architecture of an algorithm to the CPU.

    Args:
        algorithm: the algorithm.
        state: state dict of an average of it, to take the values from.
    """
    model = static_copy(algorithm.architecture)
    if state is not None:
        prefix = 'architecture.'
        model.load_state_dict({key.removeprefix(prefix): value for key, value in state.items()
                               if key.startswith(prefix)})
    return model.eval()


def check_target(algorithm: GETA, model: nn.Module) -> Tensor:
    """Check what a run has reached.

    Args:
        algorithm: the algorithm, for its target.
        model: the architecture with the final weights.

    Returns:
        Bool [number of groups], the groups that are pruned.

    Raises:
        TargetMissedError: says by how much, or which bit width is off.
    """
    index = algorithm.mutator.group_index(model)
    pruned = index.zeros()
    target = algorithm.build_target()
    if target is not None:
        mutator = algorithm.mutator
        chooser = Chooser(index.unit_names, index.sizes, mutator.divisor, mutator.min_channels)
        target.prepare(chooser)
        counts = chooser.keep_counts(pruned.numpy())
        _check_reached(target, algorithm.target_cfg, counts, int(pruned.sum()), index.num_groups)
    if algorithm.quant_config is not None:
        _check_bits(algorithm, model)
    return pruned


def _check_reached(target: SparsityTarget | CostTarget, config: dict, counts: dict[str, int],
                   pruned: int, groups: int) -> None:
    if isinstance(target, SparsityTarget):
        if pruned != target.total:
            raise TargetMissedError(
                f'{pruned} of {groups} groups are zero, {target.total} were asked for '
                f'({target.total - pruned:+d}). {_WAY_OUT}')
        return
    cost = target.cost(counts)
    if cost > target.limit:
        raise TargetMissedError(
            f"{cost:g} {config['kind']} are left, {cost / target.limit - 1:.2%} more than the "
            f"target ratio {config['ratio']} allows ({target.limit:g}). {_WAY_OUT}")


_WAY_OUT = ('The checkpoints are kept: the run was stopped early, or its optimizer is not the one '
            'that prunes; resume it, or train with optimizer.type QASSO and GETAHook')


def _check_bits(algorithm: GETA, model: nn.Module) -> None:
    ranges = algorithm.bit_ranges()
    for handle in quantizer_handles(model):
        if not handle.quantizer.calibrated:
            raise TargetMissedError(f'{handle.name} was never calibrated. {_WAY_OUT}')
        bits, limits = handle.quantizer.bits().item(), ranges[handle.name]
        whole = round(bits)
        if abs(bits - whole) > _WHOLE or not limits.min_bits <= whole <= limits.max_bits:
            raise TargetMissedError(
                f'{handle.name} has {bits:.4f} bits, which is no whole width in '
                f'[{limits.min_bits}, {limits.max_bits}]. {_WAY_OUT}')


def compress(algorithm: GETA, model: nn.Module, pruned: Tensor) -> Compressed:
    """Slice the pruned channels away and fix the bit widths.

    Args:
        algorithm: the algorithm.
        model: the architecture with the final weights; its bit widths are fixed.
        pruned: Bool [number of groups].

    Raises:
        SliceError: the sliced model would not be the masked one.
    """
    graph = algorithm.mutator.graph
    index = algorithm.mutator.group_index(model)
    keep = index.keep_masks(pruned)
    structure = static_copy(model)
    remove_quantizers(structure)
    slice_model(structure, graph, keep)  # proves this very choice on the float model
    if algorithm.quant_config is not None:
        fix_bits(model)
    sliced = slice_quantized(model, graph, keep)
    return Compressed(sliced.eval(), {name: int(mask.sum()) for name, mask in keep.items()})


def write_files(compressed: Compressed, algorithm: GETA, folder: str | os.PathLike) -> None:
    """Write fix_subnet.json, quant.json (if quantized) and compressed.pth."""
    infos = None if algorithm.quant_config is None else algorithm.quant_infos
    write_compressed(compressed.model, compressed.counts, folder, infos)
