"""Static models from a GroupFisher run: to finetune, and to deploy."""
from __future__ import annotations

import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmrazor.models.mutables import SequentialMutableChannelUnit
from mmrazor.models.mutators import ChannelMutator
from mmrazor.models.utils.expandable_utils import make_channel_divisible
from mmrazor.models.utils.expandable_utils.unit import ExpandableUnit
from mmrazor.registry import MODELS
from mmrazor.utils import RuntimeInfo
from torch import nn

from razor_ext.structure import StructureError, check_structure, dump_structure, load_structure
from razor_ext.structure.divisor import check_divisor
from razor_ext.structure.model import pads_to
from razor_ext.structure.preprocessing import split_preprocessor

from .algorithm import GroupFisherAlgorithm
from .loading import freeze_structure, load_pruned_weights
from .mutator import GroupFisherChannelMutator


def _log_structure(title: str, structure: Mapping[str, int]) -> None:
    lines = [f'{name}: {count}' for name, count in structure.items()]
    print_log(f'{title}\n  ' + '\n  '.join(lines), logger='current')


def _writes_structure(structure: Mapping[str, int]) -> Any:
    def init_weights(model: BaseModel) -> None:
        """Keep the pruned weights; record the structure beside the run's checkpoints."""
        if is_main_process():
            dump_structure(structure, Path(RuntimeInfo.work_dir()) / 'fix_subnet.json')

    return init_weights


@MODELS.register_module(force=True)
def GroupFisherSubModel(algorithm: GroupFisherAlgorithm | dict, divisor: int = 1,
                        data_preprocessor: Any = None) -> BaseModel:
    """Build the static pruned model of a pruning run, to be finetuned.

    Args:
        algorithm: the pruning algorithm, or its config, with the pruned checkpoint in its init_cfg.
        divisor: pad channel counts up to multiples of it; 1 for a structure pruned with a divisor.
        data_preprocessor: unused, the algorithm has its own; Runner passes it to every model.

    Returns:
        The pruned architecture. Training it writes `fix_subnet.json` into the work directory.
    """
    if isinstance(algorithm, Mapping):
        algorithm = MODELS.build(algorithm)
    if not isinstance(algorithm, GroupFisherAlgorithm):
        raise TypeError(f'algorithm must be a GroupFisherAlgorithm, got {type(algorithm).__name__}')
    mutator = algorithm.mutator
    if not isinstance(mutator, GroupFisherChannelMutator):
        raise TypeError(f'units of a {type(mutator).__name__} have no dynamic layers: finetune the '
                        'compressed folder of its run as a CompressedModel')
    load_pruned_weights(algorithm)
    check_divisor(divisor, {unit.name: unit.num_channels for unit in mutator.mutable_units})
    structure = mutator.counts()
    model = algorithm.architecture
    freeze_structure(model)
    if divisor != 1:
        structure = make_channel_divisible(model, divisor=divisor, zero_weight=False)
    _log_structure('pruned structure:', structure)
    model.data_preprocessor = algorithm.data_preprocessor
    model.init_cfg = None
    model.init_weights = types.MethodType(_writes_structure(structure), model)
    return model


@MODELS.register_module(force=True)
def GroupFisherDeploySubModel(architecture: nn.Module | dict,
                              fix_subnet: Mapping[str, int] | str | None = None,
                              divisor: int = 1,
                              parse_cfg: dict | None = None,
                              data_preprocessor: Any = None) -> nn.Module:
    """Build the static pruned model of a structure file, to be given a finetuned checkpoint.

    Args:
        architecture: the dense model, or its config.
        fix_subnet: the structure, or the path of its file.
        divisor: mmdeploy pads channel counts up to multiples of it after the weights are loaded.
        parse_cfg: how units are found.
        data_preprocessor: that of an architecture whose config has none.

    Returns:
        The pruned architecture with random weights.

    Raises:
        StructureError: the structure file or the divisor does not fit the model.
    """
    model: BaseModel = MODELS.build(split_preprocessor(architecture, data_preprocessor)[0]) \
        if isinstance(architecture, Mapping) else architecture
    if not fix_subnet:
        raise StructureError('fix_subnet is empty: give the structure, or the path of the '
                             'fix_subnet.json that the finetune run has written')
    mutator = ChannelMutator[ExpandableUnit](
        channel_unit_cfg=SequentialMutableChannelUnit,
        parse_cfg=parse_cfg or dict(_scope_='mmrazor', type='ChannelAnalyzer',
                                    demo_input=(1, 3, 224, 224), tracer_type='FxTracer'))
    mutator.prepare_from_supernet(model)
    dense = {unit.name: unit.num_channels for unit in mutator.mutable_units}
    structure = load_structure(fix_subnet)
    check_structure(structure, dense)
    check_divisor(divisor, dense)
    mutator.set_choices(structure)
    _log_structure('structure to deploy:', mutator.current_choices)
    freeze_structure(model)
    if divisor != 1:
        model.post_process_for_mmdeploy = types.MethodType(pads_to(divisor), model)
    return model
