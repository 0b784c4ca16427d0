"""Checkpoints that must fill the model."""
from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from torch import nn

from razor_ext.deploy.checks import (
    DeployError,
    check_device,
    check_images,
    check_model_config,
    load_strictly,
    read_weights,
)


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def write(path, content):
    torch.save(content, path)
    return path


@pytest.mark.smoke
def test_weights_are_loaded(model, tmp_path):
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    state = {f'module.{key}': value for key, value in other.state_dict().items()}
    state['quantizer.d'] = torch.ones(1)
    load_strictly(model, write(tmp_path / 'a.pth', {'state_dict': state}))
    assert torch.equal(model[0].weight, other[0].weight)


def test_a_layer_of_the_present_layout_is_not_converted(tmp_path):
    """Weights by name have lost the versions by which layers convert the layout of old releases."""
    class Versioned(nn.Conv2d):
        _version = 2

        def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args):
            assert local_metadata.get('version') == 2
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    model = Versioned(3, 4, 3)
    load_strictly(model, write(tmp_path / 'a.pth', {'state_dict': dict(model.state_dict())}))


def test_missing_weights_name_a_wrapped_model(model, tmp_path):
    state = {f'architecture.{key}': value for key, value in model.state_dict().items()}
    with pytest.raises(DeployError, match=r'lacks 0\.weight.*architecture\.0\.weight'):
        load_strictly(model, write(tmp_path / 'a.pth', {'state_dict': state}))


def test_other_shapes_are_refused_and_change_nothing(model, tmp_path):
    before = model[0].weight.clone()
    state = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).state_dict()
    state['1.bias'] = torch.zeros(5)
    with pytest.raises(DeployError, match=r'1\.bias \(5,\) instead of \(4,\)'):
        load_strictly(model, write(tmp_path / 'a.pth', {'state_dict': state}))
    assert torch.equal(model[0].weight, before)


@pytest.mark.parametrize('content', [{'epoch': 3}, {'state_dict': {}}, [1, 2]])
def test_checkpoint_without_weights(tmp_path, content):
    with pytest.raises(DeployError, match='no `state_dict`'):
        read_weights(write(tmp_path / 'a.pth', content))


def test_missing_and_damaged_checkpoint(model, tmp_path):
    with pytest.raises(DeployError, match='does not exist'):
        read_weights(tmp_path / 'a.pth')
    path = write(tmp_path / 'a.pth', {'state_dict': model.state_dict()})
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DeployError, match='cannot be read'):
        read_weights(path)


def test_weights_of_a_quantized_model_are_nothing_without_their_grids(model, tmp_path):
    """They were deployed as floats, with status 0."""
    path = write(tmp_path / 'a.pth', {'state_dict': {
        **model.state_dict(), '0.weight_quantizer.log_d': torch.zeros(1),
        '0.weight_quantizer.log_q_m': torch.zeros(1)}})
    with pytest.raises(DeployError, match=r"quantized model .*0\.weight_quantizer\.log_d.*--quant"):
        load_strictly(model, path)
    load_strictly(model, path, grids=True)


def test_the_key_of_a_step_size_is_that_of_the_quantizers():
    from razor_ext.deploy.checks import _STEP_SIZE
    from razor_ext.quantization.quantizer import Quantizer
    assert _STEP_SIZE in dict(Quantizer('layer.weight', 'signed', (4, 8)).named_parameters())


def test_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    check_device('cpu')
    for device, words in (('cuda:0', 'no GPU here; give --device cpu'), ('gpu', 'no device of')):
        with pytest.raises(DeployError, match=words):
            check_device(device)


@pytest.mark.parametrize(('model', 'words'), [
    (dict(type='mmrazor.GETA', architecture=dict(type='Net')), 'prune run'),
    (dict(type='mmrazor.GroupFisher', architecture=dict(type='Net')), 'prune run'),
    (dict(type='mmrazor.CompressedModel', compressed='work_dirs/prune'), 'finetune run')])
def test_configs_of_runs_are_told_what_to_deploy(model, words, tmp_path):
    """They ended in a KeyError, and in a false failure of parity."""
    path = tmp_path / 'geta_x.py'
    path.write_text(f'model = {model!r}')
    with pytest.raises(DeployError, match=rf'{words}.* DEPLOY_CFG work_dirs/geta_x/compressed IMG'):
        check_model_config(Config.fromfile(path))


@pytest.mark.parametrize('model', [
    dict(type='TopdownPoseEstimator'),
    dict(type='mmrazor.CompressedModel', architecture=dict(type='Net'), fix_subnet={})])
def test_configs_of_models_pass(model, tmp_path):
    (tmp_path / 'model.py').write_text(f'model = {model!r}')
    check_model_config(Config.fromfile(tmp_path / 'model.py'))


def test_a_folder_is_an_input_where_the_task_reads_folders(tmp_path):
    image = tmp_path / 'a.png'
    image.touch()
    check_images(False, [image])
    check_images(True, [image, tmp_path])
    with pytest.raises(DeployError, match='is a folder; give a file of it'):
        check_images(False, [tmp_path])
    with pytest.raises(DeployError, match=r"b\.png' does not exist"):
        check_images(True, [tmp_path / 'b.png'])
