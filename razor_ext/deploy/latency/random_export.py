"""Export a structure with random weights, to measure its speed: weights do not change it."""
from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from torch import nn

from razor_ext.engine.families import find_sample, sample_tasks
from razor_ext.quantization import (
    QuantConfig,
    calibrate,
    find_products,
    fix_bits,
    quantize_model,
)
from razor_ext.quantization.layers import quant_type_of

from ..convert import Conversion
from ..errors import DeployError
from ..integers.audit import audit
from ..integers.grids import layer_grids
from ..integers.products import record_products
from ..integers.qdq import insert_qdq
from ..integers.quantized import layers_that_run


@dataclass(frozen=True)
class RandomExport:
    """Files of one structure.

    Args:
        model: The torch model of the config, its batch normalisation set, in eval mode.
        inputs: One preprocessed input.
        files: ONNX file by bit width, 32 and 8.
    """

    model: nn.Module
    inputs: torch.Tensor
    files: dict[int, Path]


def export_random(deploy_cfg: Config, config: Config, folder: Path, name: str,
                  integers: bool = True) -> RandomExport:
    """Export a config with random weights, in float and on 8-bit integers.

    Args:
        deploy_cfg: MMDeploy's deployment config.
        config: Config of the model.
        folder: Where the ONNX files go.
        name: Beginning of their names.
        integers: Write integers too; not for a padded structure, whose layers quant.json would
            not know.

    Returns:
        The model and its files.

    Raises:
        DeployError: If no input is known for the task.
        AuditError: If a layer is not on integers.
    """
    task_name = deploy_cfg.codebase_config.task
    sample = find_sample(task_name, np.random.default_rng(0))
    if sample is None:
        raise DeployError(f'no input is known for the task {task_name!r}, only for '
                          f'{", ".join(sample_tasks())}; add it to `samples` of the model family')
    checkpoint = folder / f'{name}.pth'
    conversion = Conversion(copy.deepcopy(deploy_cfg), config, os.fspath(checkpoint))
    conversion.save_file = f'{name}_32.onnx'
    task = conversion.build_task()
    model = revert_sync_batchnorm(conversion.build_model())
    _, inputs = task.create_input(sample, data_preprocessor=model.data_preprocessor)
    _normalize(model, torch.cat([inputs, inputs.flip(-1)]))
    torch.save({'state_dict': model.state_dict()}, checkpoint)
    files = {32: conversion.export(sample, folder)}
    if integers and config.model.get('divisor', 1) == 1:
        deployed = copy.deepcopy(model)
        if hasattr(task, 'prepare_reference'):
            task.prepare_reference(deployed)
        files[8] = folder / f'{name}_8.onnx'
        onnx.save(_integers(deployed, files[32], inputs), files[8])
    checkpoint.unlink()
    return RandomExport(model, inputs, files)


def _normalize(model: nn.Module, inputs: torch.Tensor) -> None:
    """Give the activations of a random model a sensible size."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(inputs, None, mode='tensor')
    model.eval()


def _integers(model: nn.Module, float_file: Path, inputs: torch.Tensor) -> onnx.ModelProto:
    ran = layers_that_run(model, inputs)
    idle = {}
    for name, module in model.named_modules():
        quant_type = quant_type_of(type(module))
        if quant_type is not None and name not in ran and quant_type.refuse(module) is None:
            idle[name] = 'is not deployed'

    def run(model: nn.Module, batch: torch.Tensor) -> None:
        model(batch, None, mode='tensor')

    quantize_model(model, QuantConfig(weight_bits=(8, 8), activation_bits=(8, 8),
                                      float_layers=idle), find_products(model, inputs, run))
    calibrate(model, [inputs], run=run)
    fix_bits(model)
    graph = onnx.load(float_file)
    feed = {graph.graph.input[0].name: inputs.numpy()}
    exported = insert_qdq(graph, layer_grids(model), [feed],
                          record_products(model, lambda: run(model, inputs), feed))
    audit(exported.model, exported.integer)
    return exported.model
