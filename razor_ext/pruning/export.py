"""From a finished pruning run to the sliced model."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config
from torch import Tensor, nn

from razor_ext.graph import ChannelUnit, slice_model
from razor_ext.quantization import (
    QuantizedLayerInfo,
    count_costs,
    fix_bits,
    remove_quantizers,
    summarize_costs,
)
from razor_ext.structure.export import write_compressed
from razor_ext.structure.slicing import slice_quantized, static_copy

from .morphing import settle
from .mutator import GraphMutator


@dataclass(frozen=True)
class Compressed:
    """A sliced model, in evaluation mode on the CPU.

    Attributes:
        model: the sliced model, its bit widths fixed.
        structure: channels kept by unit, all units of the graph.
        infos: what is quantized and why not; empty for a float model.
        data: example inputs of the dense and of the sliced model.
        units: the analysed units; empty if they are not known.
        activations: those that the run has exchanged, see `Morphing`.
    """

    model: nn.Module
    structure: dict[str, int]
    infos: list[QuantizedLayerInfo]
    data: Any
    units: Sequence[ChannelUnit] = ()
    activations: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: str | os.PathLike, config: Config | None = None) -> None:
        """Write the files of the compressed folder.

        Args:
            folder: where; it is created.
            config: config of the run, by which the model is rebuilt without further files.
        """
        write_compressed(self.model, self.structure, folder, self.infos or None, config=config,
                         units=self.units, activations=self.activations)

    def costs(self, dense: nn.Module) -> dict[str, dict[str, float]]:
        """Return the `summarize_costs` of 'dense', a float model, and of 'compressed'."""
        whole = summarize_costs(count_costs(static_copy(dense).eval(), self.data))
        return {'dense': whole, 'compressed': summarize_costs(
            count_costs(self.model, self.data), whole['macs'])}


def finished_copy(architecture: nn.Module, average: nn.Module | None = None) -> nn.Module:
    """Copy an architecture to the CPU in evaluation mode.

    Args:
        architecture: the architecture of an algorithm.
        average: that of an average of it, to take the values from.

    Raises:
        TargetMissedError: activations have not changed yet.
    """
    model = static_copy(architecture)
    if average is not None:
        model.load_state_dict(average.state_dict())
    settle(model)
    return model.eval()


def compress(model: nn.Module, mutator: GraphMutator, pruned: Tensor,
             infos: list[QuantizedLayerInfo],
             activations: Mapping[str, str] | None = None) -> Compressed:
    """Slice the pruned channels away and fix the bit widths.

    Args:
        model: a copy of an algorithm's architecture with the final weights; its bit widths are
            fixed.
        mutator: its units.
        pruned: Bool [C], the pruned channels.
        infos: what is quantized and why not; empty for a float model.
        activations: those that the run has exchanged.

    Raises:
        SliceError: the sliced model would not be the masked one.
    """
    graph = mutator.graph
    keep = mutator.channel_index(model).keep_masks(pruned)
    data = mutator.demo_data(model)
    structure = static_copy(model)
    remove_quantizers(structure)
    slice_model(structure, graph, keep)  # proves this very choice on the float model
    if infos:
        fix_bits(model)
    sliced = slice_quantized(model, graph, keep).eval()
    return Compressed(sliced, {name: int(mask.sum()) for name, mask in keep.items()},
                      infos, data, graph.units, dict(activations or {}))
