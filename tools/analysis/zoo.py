"""The configs of a package's zoo: what the programs that run over it share."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.utils import get_installed_path

#: Packages of the zoo and the folders of their configs that are run over; an empty list is all.
PACKAGES: dict[str, list[str]] = {
    'mmpose': [],
    'mmdet': ['atss', 'autoassign', 'centernet', 'ddod', 'efficientnet', 'fcos', 'foveabox',
              'free_anchor', 'fsaf', 'gfl', 'ld', 'nas_fcos', 'nas_fpn', 'paa', 'pvt', 'regnet',
              'reppoints', 'retinanet', 'rtmdet', 'ssd', 'swin', 'tood', 'vfnet', 'yolo', 'yolof',
              'yolox'],
    'mmpretrain': ['beit', 'convmixer', 'convnext', 'convnext_v2', 'cspnet', 'deit', 'deit3',
                   'densenet', 'edgenext', 'efficientformer', 'efficientnet', 'efficientnet_v2',
                   'hornet', 'hrnet', 'inception_v3', 'lenet', 'levit', 'mlp_mixer',
                   'mobilenet_v2', 'mobilenet_v3', 'mobileone', 'mobilevit', 'mvit', 'poolformer',
                   'regnet', 'replknet', 'repvgg', 'res2net', 'resnest', 'resnet', 'resnext',
                   'seresnet', 'shufflenet_v1', 'shufflenet_v2', 'swin_transformer',
                   'swin_transformer_v2', 't2t_vit', 'tinyvit', 'tnt', 'twins', 'van', 'vgg',
                   'vision_transformer', 'xcit'],
    'mmseg': ['ann', 'apcnet', 'bisenetv1', 'bisenetv2', 'ccnet', 'cgnet', 'convnext', 'danet',
              'ddrnet', 'deeplabv3', 'deeplabv3plus', 'dmnet', 'dnlnet', 'dpt', 'emanet', 'encnet',
              'erfnet', 'fastfcn', 'fastscnn', 'fcn', 'gcnet', 'hrnet', 'icnet', 'isanet',
              'mobilenet_v2', 'mobilenet_v3', 'nonlocal_net', 'ocrnet', 'pidnet', 'poolformer',
              'psanet', 'pspnet', 'resnest', 'segformer', 'segmenter', 'segnext', 'sem_fpn', 'setr',
              'stdc', 'swin', 'twins', 'unet', 'upernet', 'vit']}

#: Parts of a model config that make its family, by what the packages call them.
PARTS = ('backbone', 'neck', 'head', 'bbox_head', 'mask_head', 'decode_head')


def root_of(package: str) -> Path:
    """Return the folder of a package's installed configs."""
    return Path(get_installed_path(package)) / '.mim' / 'configs'


def config_names(package: str, folders: list[str] | None = None, match: str = '') -> list[str]:
    """Return the configs of a package, relative to their root, sorted.

    Args:
        package: An OpenMMLab package.
        folders: Only configs of these folders; all if empty.
        match: Only configs with this in their path.

    Raises:
        SystemExit: If there is none.
    """
    root = root_of(package)
    found = [str(path.relative_to(root)) for folder in (folders or ['.'])
             for path in sorted((root / folder).rglob('*.py')) if '_base_' not in path.parts]
    names = [name for name in found if match in name]
    if not names:
        raise SystemExit(f'{root} has no config with {match!r} in its path')
    return names


def type_name(config: Any) -> str:
    """Return the type of a config, of each of a list of configs, or '-' where there is none."""
    if isinstance(config, (list, tuple)):
        names = [type_name(item) for item in config]
        return names[0] if len(set(names)) == 1 else '+'.join(names)
    if not isinstance(config, Mapping) or 'type' not in config:
        return '-'
    kind = config['type']
    return kind if isinstance(kind, str) else kind.__name__


def family_of(model: Mapping[str, Any]) -> str:
    """Return the types of a model config and its parts, the same for one architecture family."""
    if type_name(model.get('backbone')) == 'TIMMBackbone':
        return f'{type_name(model)}: {model["backbone"]["model_name"]} (timm)'
    parts = [type_name(model.get(part)).rpartition('.')[2] for part in PARTS]
    return f'{type_name(model)}: ' + ' + '.join(part for part in parts if part != '-')
