"""What is refused before anything is converted."""
from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from razor_ext.structure.rebuild import load_state

from .errors import DeployError

#: Name of a quantizer's parameter, see `razor_ext.quantization.quantizer`.
_STEP_SIZE = 'log_d'


def check_files(**paths: str | os.PathLike | None) -> None:
    """Refuse paths that are no files.

    Args:
        **paths: Role and path; None is skipped.

    Raises:
        DeployError: Naming the first one that is missing.
    """
    for role, path in paths.items():
        if path is not None and not os.path.isfile(path):
            raise DeployError(f'{role.replace("_", " ")} {os.fspath(path)!r:.300} does not exist')


def check_images(folders: bool, images: Iterable[str | os.PathLike]) -> None:
    """Refuse inputs of a model that are not there.

    Args:
        folders: Whether an input may be a folder.
        images: Their paths.

    Raises:
        DeployError: Naming the first one that is missing, or that is a folder.
    """
    for path in images:
        if not os.path.exists(path):
            raise DeployError(f'image {os.fspath(path)!r:.300} does not exist')
        if os.path.isdir(path) and not folders:
            raise DeployError(f'image {os.fspath(path)!r:.300} is a folder; give a file of it')


def check_device(device: str) -> None:
    """Refuse a device that is not there.

    Raises:
        DeployError: Naming it.
    """
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise DeployError(f"--device {device!r} is no device of torch: give cpu, or cuda:0") \
            from error
    if kind == 'cuda' and not torch.cuda.is_available():
        raise DeployError(f'--device {device!r}: torch finds no GPU here; give --device cpu, on '
                          'which the export is the same')


def check_model_config(cfg: Config) -> None:
    """Refuse the config of a prune or finetune run, whose folder is what is deployed.

    Args:
        cfg: Config of the model.

    Raises:
        DeployError: Naming the command to give.
    """
    from mmrazor.registry import MODELS

    from razor_ext.pruning import PruningAlgorithm
    model = cfg.get('model') or {}
    kind = model.get('type')
    cls = MODELS.get(kind) if isinstance(kind, str) else kind
    prunes = isinstance(cls, type) and issubclass(cls, PruningAlgorithm)
    if prunes or ('compressed' in model and 'architecture' not in model):
        raise DeployError(
            f'{cfg.filename} is the config of a {"prune" if prunes else "finetune"} run; give the '
            'folder that the run has left in the place of config and checkpoint: tools/deploy.py '
            f'DEPLOY_CFG {cfg.get("work_dir") or Path("work_dirs", Path(cfg.filename).stem)}'
            '/compressed IMG (tools/extract_compressed.py makes one of any of its checkpoints)')


def check_input_size(deploy_cfg: Config, model_cfg: Config) -> None:
    """Refuse a deploy config made for another input size than the model's codec.

    Sizes are (width, height). MMDeploy only warns, and exports the model's size.

    Raises:
        DeployError: If ``input_shape``, or a shape given to the backend, differs.
    """
    codec = model_cfg.get('codec')
    if codec is None:
        return
    codec = codec[0] if isinstance(codec, (list, tuple)) else codec
    width, height = codec['input_size']
    ir_config = deploy_cfg.get('onnx_config') or deploy_cfg.get('ir_config') or {}
    shape = ir_config.get('input_shape')
    if shape is not None and tuple(shape) != (width, height):
        raise DeployError(
            f'`input_shape` of {deploy_cfg.filename} is {list(shape)} (width, height), but the '
            f"model's input size is {[width, height]}; take the deploy config of that size or set "
            f'onnx_config.input_shape={[width, height]}')
    for model_input in deploy_cfg.get('backend_config', {}).get('model_inputs', ()):
        sizes = [*model_input.get('opt_shapes', {}).values()]
        for limits in model_input.get('input_shapes', {}).values():
            sizes.extend(limits.values())
        wrong = [list(size) for size in sizes if tuple(size[-2:]) != (height, width)]
        if wrong:
            raise DeployError(
                f'backend_config.model_inputs of {deploy_cfg.filename} asks for {wrong[0]}, but '
                f'the model takes height {height} and width {width}')


def read_weights(checkpoint: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Read the weights of a checkpoint.

    Args:
        checkpoint: File or URL, as MMEngine takes it.

    Returns:
        The state dict, without the prefix of a parallel wrapper.

    Raises:
        DeployError: If the file is missing, damaged or holds no weights.
    """
    path = os.fspath(checkpoint)
    if '://' not in path:
        check_files(checkpoint=path)
    try:
        content = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except (RuntimeError, EOFError, OSError, UnpicklingError) as error:
        raise DeployError(f'checkpoint {path!r} cannot be read ({error}); '
                          'it is damaged or no torch checkpoint') from error
    weights = content.get('state_dict', content) if isinstance(content, Mapping) else None
    if not weights or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise DeployError(f'checkpoint {path!r} holds no `state_dict` of tensors')
    return {key.removeprefix('module.'): value for key, value in weights.items()}


def load_strictly(model: nn.Module, checkpoint: str | os.PathLike, grids: bool = False) -> None:
    """Load a checkpoint that must fill the whole model.

    MMEngine only logs what does not fit, and the random rest would be exported. Weights the model
    has no place for (a teacher) are logged.

    Args:
        model: Model, already sliced to its structure.
        checkpoint: File or URL.
        grids: The grids of a quantized model are known by other means (quant.json).

    Raises:
        DeployError: If a parameter or buffer is missing or has another shape, or the checkpoint
            holds grids that are not asked for.
    """
    weights = read_weights(checkpoint)
    state = model.state_dict()
    missing = [key for key in state if key not in weights]
    if missing:
        wrapped = next((key for key in weights if key.endswith(f'.{missing[0]}')), None)
        hint = (f'; it has {wrapped!r}, so it is the checkpoint of a wrapped model: deploy the '
                'finetuned checkpoint, or the one of a sub-model' if wrapped else '')
        raise DeployError(f'checkpoint {os.fspath(checkpoint)!r} lacks {_some(missing)}{hint}')
    wrong = [f'{key} {tuple(weights[key].shape)} instead of {tuple(value.shape)}'
             for key, value in state.items() if weights[key].shape != value.shape]
    if wrong:
        raise DeployError(
            f'checkpoint {os.fspath(checkpoint)!r} does not fit the structure of the config: '
            f'{_some(wrong)}; give the fix_subnet.json written by the run that made the checkpoint')
    extra = [key for key in weights if key not in state]
    steps = next((key for key in extra if key.rpartition('.')[2] == _STEP_SIZE), None)
    if steps is not None and not grids:
        raise DeployError(
            f'checkpoint {os.fspath(checkpoint)!r} is of a quantized model (it has {steps!r}), and '
            'its weights without their grids are another model: give the compressed folder of '
            'the run in the place of config and checkpoint, or its quant.json by --quant')
    if extra:
        print_log(f'not in the model and left out: {_some(extra)}', logger='current')
    load_state(model, weights)


def _some(items: Sequence[str], limit: int = 3) -> str:
    rest = len(items) - limit
    return ', '.join(items[:limit]) + (f' and {rest} more' if rest > 0 else '')
