"""The sliced model of any checkpoint of a compression run."""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmrazor.registry import MODELS
from torch import nn

from razor_ext.graph import ChannelUnit
from razor_ext.quantization import QuantizedLayerInfo, count_costs, summarize_costs
from razor_ext.structure.dense_config import dense_config
from razor_ext.structure.export import write_compressed
from razor_ext.structure.rebuild import UnprunedError, build_demo_input, load_sliced, read_state
from razor_ext.structure.slicing import static_copy

from .geta.algorithm import GETA
from .geta.export import check_target, compress
from .group_fisher.algorithm import GroupFisherAlgorithm
from .group_fisher.graph_export import sliced_copy
from .group_fisher.graph_mutator import GraphGroupFisherMutator
from .group_fisher.sub_models import GroupFisherSubModel, load_pruned_weights


@dataclass(frozen=True)
class Extracted:
    """A compressed model, in evaluation mode on the CPU.

    Attributes:
        model: the sliced model.
        structure: channels kept by unit.
        infos: what is quantized and why not; empty for a float model.
        dense: the dense float architecture.
        data: example inputs of both.
        units: of the dense architecture; empty where they are not of the graph.
        config: see `dense_config`.
    """

    model: nn.Module
    structure: dict[str, int]
    infos: list[QuantizedLayerInfo]
    dense: nn.Module
    data: object
    units: Sequence[ChannelUnit] = ()
    config: Config | None = None

    def write(self, folder: str | os.PathLike) -> None:
        """Write the compressed folder."""
        write_compressed(self.model, self.structure, folder, self.infos or None,
                         config=self.config, units=self.units)

    def costs(self) -> dict[str, dict[str, float]]:
        """Return the `summarize_costs` of 'dense' and 'compressed'."""
        dense = summarize_costs(count_costs(self.dense, self.data))
        return {'dense': dense, 'compressed': summarize_costs(
            count_costs(self.model, self.data), dense['macs'])}


def _dense(architecture: Mapping) -> nn.Module:
    return static_copy(MODELS.build(architecture)).eval()


def _extract_geta(model: Mapping, checkpoint: str) -> Extracted:
    algorithm = MODELS.build(model)
    state = read_state(checkpoint)
    own = algorithm.architecture.state_dict()
    missing = sorted(set(own) - set(state))
    wrong = sorted(key for key in own if key in state and state[key].shape != own[key].shape)
    if missing or wrong:
        raise ValueError(f'checkpoint {checkpoint!r} is not of the pruning run of this config: '
                         f'{len(missing)} keys are missing (first: '
                         f'{next(iter(missing), None)!r}), {len(wrong)} of another shape (first: '
                         f'{next(iter(wrong), None)!r})')
    algorithm.architecture.load_state_dict({key: state[key] for key in own})
    final = static_copy(algorithm.architecture).eval()
    if algorithm.target_cfg is not None and not algorithm.mutator.group_index(final).zeros().any():
        raise UnprunedError(f'checkpoint {checkpoint!r} holds no pruned group: nothing was pruned '
                            'yet. Take one from the end of the pruning run')
    compressed = compress(algorithm, final, check_target(algorithm, final))
    return Extracted(compressed.model, compressed.counts, algorithm.quant_infos,
                     _dense(model['architecture']), algorithm.mutator.demo_data(final),
                     algorithm.mutator.mutable_units)


def _extract_group_fisher(model: Mapping, checkpoint: str) -> Extracted:
    algorithm = MODELS.build(model)
    algorithm.init_cfg = dict(type='Pretrained', checkpoint=checkpoint)
    if isinstance(algorithm.mutator, GraphGroupFisherMutator):
        load_pruned_weights(algorithm)
        return Extracted(sliced_copy(algorithm), algorithm.mutator.counts(), [],
                         _dense(model['architecture']),
                         algorithm.mutator.demo_data(algorithm.architecture),
                         algorithm.mutator.graph.units)
    sliced = static_copy(GroupFisherSubModel(algorithm)).eval()
    shape = algorithm.mutator.parse_cfg.get('demo_input')
    return Extracted(sliced, algorithm.mutator.counts(), [], _dense(model['architecture']),
                     build_demo_input(shape).get_data(sliced))


def _extract_compressed(model: Mapping, checkpoint: str) -> Extracted:
    built = MODELS.build({**model, 'checkpoint': None})
    load_sliced(built, checkpoint)
    record = built.compression_record
    final = static_copy(built).eval()
    architecture = dense_config(Config(dict(model=model))).model
    return Extracted(final, record.structure, record.infos, _dense(architecture),
                     build_demo_input(record.demo_input).get_data(final), record.units)


#: How the model of each type is extracted.
EXTRACTORS: Mapping[str, Callable[[Mapping, str], Extracted]] = {
    GETA.__name__: _extract_geta,
    GroupFisherAlgorithm.__name__: _extract_group_fisher,
    'CompressedModel': _extract_compressed,
}


def extract(cfg: Config, checkpoint: str) -> Extracted:
    """Get the sliced model from a checkpoint.

    Args:
        cfg: config of the run: of pruning (GETA, GroupFisher) or of finetuning a CompressedModel.
        checkpoint: one of its checkpoints.

    Raises:
        UnprunedError: nothing is pruned in it.
        TargetMissedError: the run had not reached its target when it was saved.
        ValueError: it is of another model, or the config of no compression run.
    """
    model = cfg.model
    if model.type.rpartition('.')[2] == 'SingleTeacherDistill':
        model = model.architecture
    kind = model.type.rpartition('.')[2]
    if kind not in EXTRACTORS:
        raise ValueError(f'{cfg.filename}: model.type={model.type!r}; a compressed model is '
                         f'extracted from {", ".join(EXTRACTORS)}')
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    found = EXTRACTORS[kind](model, os.fspath(checkpoint))
    return replace(found, config=dense_config(cfg))
