"""Weights for stock configs, where no published ones can be loaded."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from razor_ext.engine.families import find_demo_input
from razor_ext.engine.tool_config import find_config
from razor_ext.workflow.model import build_dense


def without_downloads(value: Any) -> Any:
    """Return a config in which no module loads published weights."""
    if isinstance(value, Mapping):
        return {key: without_downloads(item) for key, item in value.items()
                if not (key == 'init_cfg' and isinstance(item, Mapping)
                        and item.get('type') == 'Pretrained')}
    if isinstance(value, (list, tuple)):
        return [without_downloads(item) for item in value]
    return value


def write_weights(config: str, options: Mapping[str, Any], photographs: list[Path], path: Path,
                  passes: int = 6) -> tuple[int, ...]:
    """Write a checkpoint of random weights whose batch norms have seen photographs.

    Args:
        config: the stock config, as `package::path`.
        options: changes to it, by dotted key.
        photographs: files; each pass sees other parts of them.
        path: the checkpoint.
        passes: batches that the norms see.

    Returns:
        Shape of one image of the model.
    """
    cfg = Config.fromfile(find_config(config))
    cfg.merge_from_dict(dict(options))
    cfg.model = without_downloads(cfg.model)
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    model = build_dense(cfg)
    model.init_weights()
    model.train()
    shape = tuple(cast(Sequence[int], find_demo_input(model)))
    norms = [module for module in model.modules()
             if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the mean over all passes
    with torch.no_grad():
        for _ in range(passes):
            parts = [_part(cv2.imread(str(photograph)), shape, generator)
                     for photograph in photographs]
            images = torch.from_numpy(np.stack(parts)).permute(0, 3, 1, 2).float()
            images = (images - model.data_preprocessor.mean) / model.data_preprocessor.std
            model(images, None, mode='tensor')
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    torch.save({'state_dict': model.state_dict()}, path)
    return shape


def _part(image: np.ndarray, shape: tuple[int, ...], generator: np.random.Generator
          ) -> np.ndarray:
    """Return a random part of an image in the size of a model's, uint8 [height, width, 3]."""
    height, width = image.shape[:2]
    top, left = generator.integers(0, (height // 2, width // 2))
    part = image[top:top + height // 2, left:left + width // 2]
    return cv2.resize(part, (shape[3], shape[2]))
