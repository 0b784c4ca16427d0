"""A run of compression starts from the weights of its dense model, and from no others."""
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmrazor.registry import MODELS
from tiny_geta import STAGES, dense_checkpoint
from tiny_pose import SIZE, tiny_rtmpose
from torch import nn

from razor_ext.graph.norms import mask_norms
from razor_ext.quantization import QuantConfig, quantize_model
from razor_ext.structure.dense_weights import load_dense


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    init_default_scope('mmpose')
    return dense_checkpoint(tmp_path / 'dense.pth')


def geta(checkpoint: Path | str, **architecture: object):
    config = tiny_rtmpose()
    config.update(architecture)
    return MODELS.build(dict(
        type='mmrazor.GETA', architecture=config, checkpoint=str(checkpoint), stages=STAGES,
        quant=dict(weight_bits=(4, 8), activation_bits=(4, 8)),
        target=dict(kind='macs', ratio=.5), demo_input=(1, 3, *SIZE)))


def rewrite(path: Path, change) -> Path:
    content = torch.load(path)
    content['state_dict'] = change(content['state_dict'])
    torch.save(content, path)
    return path


def test_the_backbone_does_not_fetch_weights_of_its_own(dense: Path) -> None:
    config = tiny_rtmpose()
    config['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint='no/such/backbone.pth')
    algorithm = geta(dense, backbone=config['backbone'])
    algorithm.init_weights()
    for key, value in torch.load(dense)['state_dict'].items():
        assert torch.equal(algorithm.architecture.state_dict()[key], value), key


@pytest.mark.parametrize('change', [
    lambda state: {f'module.{key}': value for key, value in state.items()},
    lambda state: {key: value for key, value in state.items()
                   if not key.endswith('num_batches_tracked')}])
def test_checkpoints_of_wrapped_and_older_models_are_taken(dense: Path, change) -> None:
    before = torch.load(dense)['state_dict']
    algorithm = geta(rewrite(dense, change))
    algorithm.init_weights()
    key = 'head.final_layer.weight'
    assert torch.equal(algorithm.architecture.state_dict()[key], before[key])


def test_norms_that_know_their_mask_take_the_weights_of_plain_ones(tmp_path: Path) -> None:
    plain = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    torch.save({'state_dict': plain.state_dict()}, tmp_path / 'dense.pth')
    model = mask_norms(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)))
    load_dense(model, tmp_path / 'dense.pth')
    assert torch.equal(model[0].weight, plain[0].weight)
    assert bool((model[1].kept_channels == 1).all())
    torch.save({'state_dict': plain[:1].state_dict()}, tmp_path / 'dense.pth')
    with pytest.raises(ValueError, match=r'1\.weight is missing'):
        load_dense(model, tmp_path / 'dense.pth')


@pytest.mark.parametrize(('change', 'expected'), [
    (lambda state: {key: value for key, value in state.items() if not key.startswith('head.')},
     r'head\.\S+ is missing'),
    (lambda state: {**state, 'head.final_layer.weight': torch.zeros(3, 4, 1, 1)},
     r'head\.final_layer\.weight is \(3, 4, 1, 1\), not'),
    (lambda state: {'other': torch.zeros(1)}, 'of another model than this TopdownPoseEstimator')])
def test_a_checkpoint_of_another_model_is_refused(dense: Path, change, expected: str) -> None:
    algorithm = geta(rewrite(dense, change))
    with pytest.raises(ValueError, match=expected):
        algorithm.init_weights()


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    init_default_scope('mmpose')
    with pytest.raises(FileNotFoundError, match=r'missing\.pth.*model\.checkpoint'):
        geta(tmp_path / 'missing.pth').init_weights()
    torch.save({'state_dict': {}}, tmp_path / 'empty.pth')
    with pytest.raises(ValueError, match='no `state_dict`'):
        geta(tmp_path / 'empty.pth').init_weights()


def test_the_quantizers_of_a_layer_of_two_names_are_set_apart(tmp_path: Path) -> None:
    model = torch.nn.ModuleDict({'one': torch.nn.Conv2d(3, 4, 3)})
    model['two'] = model['one']
    torch.save(model.state_dict(), tmp_path / 'dense.pth')
    expected = model['one'].weight.detach().clone()
    quantize_model(model, QuantConfig(weight_bits=(4, 8), activation_bits=(4, 8)))
    torch.nn.init.zeros_(model['one'].weight)
    load_dense(model, tmp_path / 'dense.pth')
    assert torch.equal(model['two'].weight, expected)
