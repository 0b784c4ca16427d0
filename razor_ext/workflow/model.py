"""What the pipeline has to know of the dense model itself."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from mmrazor.registry import DATASETS, MODELS
from torch import nn

from razor_ext.engine.families import find_demo_input, find_deployment
from razor_ext.structure.preprocessing import split_preprocessor

from .request import Request, RequestError


def build_dense(cfg: Config) -> nn.Module:
    """Build the dense model of a config, with random weights."""
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    return MODELS.build(split_preprocessor(cfg.model, cfg.get('data_preprocessor'))[0])


def deploy_config(model: nn.Module, request: Request) -> dict[str, Any]:
    """Return what MMDeploy's deploy config of a model adds to the shared one.

    Args:
        model: the dense model.
        request: names the backend.

    Raises:
        RequestError: no family knows how the model is deployed, or there is no such backend.
    """
    from razor_ext.deploy.backends import BACKENDS, find_backend
    known = find_deployment(model)
    shape = find_demo_input(model)
    if known is None or shape is None or isinstance(shape, Mapping):
        raise RequestError(f'no model family knows how a {type(model).__name__} is deployed: run '
                           'the steps one by one, tools/train.py, tools/test.py and '
                           'tools/deploy.py with a deploy config of MMDeploy')
    if request.backend not in BACKENDS.module_dict:
        raise RequestError(f'--backend {request.backend!r} is none of '
                           f'{", ".join(sorted(BACKENDS.module_dict))}')
    return {
        'codebase_config': dict(known.codebase),
        'backend_config': find_backend(request.backend).config(shape, known.input_names[0]),
        'onnx_config': dict(
            input_names=list(known.input_names), output_names=list(known.output_names),
            input_shape=known.input_shape,
            **({'dynamic_axes': known.dynamic_axes} if known.dynamic_axes else {}))}


def first_sample(cfg: Config) -> str:
    """Return the file of the first sample of the validation set, which the exporter traces.

    Raises:
        RequestError: the set cannot be read, is empty, or has no files.
    """
    loader = cfg.get('val_dataloader') or cfg.get('test_dataloader')
    if loader is None:
        raise RequestError('the config has no val_dataloader: give --image, an input to trace the '
                           'model with')
    try:
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
            sample = DATASETS.build(loader.dataset).get_data_info(0)
        path = str(sample['img_path'] if 'img_path' in sample else sample['path'])
        if not Path(path).is_file():
            raise FileNotFoundError(f'{path} does not exist')
        return path
    except (FileNotFoundError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise RequestError(
            f'the validation set ({loader.dataset.get("type")}) gives no first sample '
            f'({type(error).__name__}: {error}): say where your data is (--data-root, --val-ann, '
            '--val-images), and give --image where its samples are no image files') from error
