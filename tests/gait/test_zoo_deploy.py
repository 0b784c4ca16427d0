"""The ONNX files of the zoo give torch's embeddings, over lengths and batches."""
from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from razor_ext.deploy.convert import Conversion
from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.pipeline import DeployOptions, deploy
from razor_ext.deploy.session import open_session
from razor_ext.gait.deploy.codebase import GaitRecognition
from razor_ext.gait.deploy.streaming import SET_FEATURES, split_at_set_pooling

from .gait_builders import ZOO, build
from .gait_compression import ROOT

pytestmark = pytest.mark.usefixtures('analysed_once')
#: Of the models of CASIA-B and OU-MVLP that differ in widths alone, one is exported.
EXPORTED = ('deepgaitv2-p3d', 'gaitset', *(pytest.param(name, marks=pytest.mark.slow) for name in (
    'deepgaitv2-2d', 'deepgaitv2-3d', 'skeletongait', 'skeletongaitpp', 'multigaitpp', 'gaitpart',
    'gln')))


def export(name: str, folder: Path, kind: str = 'dynamic') -> tuple[str, torch.nn.Module]:
    """Deploy a model as tools/deploy.py does; returns its file and the reference."""
    model = build(ZOO[name])
    channels = model.backbone.in_channels
    steps = [dict(type='LoadSilhouettes', channels=channels), dict(type='SampleFrames', mode='all'),
             dict(type='CropSides'), dict(type='PackGaitInputs')]
    cfg = Config(dict(
        default_scope='razor_ext', test_dataloader=dict(dataset=dict(pipeline=steps)),
        model=dict(ZOO[name], data_preprocessor=dict(type='GaitDataPreprocessor'))))
    torch.save(dict(state_dict=model.state_dict()), folder / 'dense.pth')
    shape = (6, 64, 64) if channels == 1 else (6, channels, 64, 64)
    np.save(folder / 'clip.npy',
            np.random.default_rng(0).integers(0, 2, shape).astype(np.uint8) * 255)
    deploy_cfg = Config.fromfile(ROOT / f'configs/deploy/gait_onnxruntime_{kind}.py')
    deploy(deploy_cfg, cfg, str(folder / 'dense.pth'), str(folder / 'clip.npy'),
           DeployOptions(work_dir=str(folder), rounds=0))
    reference = Conversion(deploy_cfg, cfg, str(folder / 'dense.pth')).build_reference()
    reference.tensor_output = 'embedding'
    return str(folder / 'end2end.onnx'), reference


@pytest.mark.parametrize('name', EXPORTED)
def test_any_length_and_batch(name: str, tmp_path: Path) -> None:
    path, reference = export(name, tmp_path)
    session = open_session(path, threads=1)
    for batch, length in ((1, 1), (2, 4), (3, 31)):
        x = torch.rand(batch, reference.backbone.in_channels, length, 64, 44)
        with torch.no_grad():
            expected = reference(x)
        found = torch.from_numpy(session.run(None, {'input': x.numpy()})[0])
        assert (found - expected).abs().max() < 1e-5 * max(1., float(expected.abs().max()))
    refusals = {'gaitset': 'takes 3 maxima over frames', 'gln': 'takes 3 maxima over frames',
                'deepgaitv2-p3d': 'convolves over frames', 'gaitpart': 'has no maximum over frames'}
    if name in refusals:
        with pytest.raises(DeployError, match=refusals[name]):
            split_at_set_pooling(path, tmp_path / 'stream')
    if name == 'deepgaitv2-2d':
        frames, head = (open_session(str(file), threads=1)
                        for file in split_at_set_pooling(path, tmp_path / 'stream'))
        parts = [frames.run(None, {'input': x[:, :, part].numpy()})[0]
                 for part in (slice(0, 1), slice(1, 31))]
        streamed = head.run(None, {SET_FEATURES: np.maximum.reduce(parts)})[0]
        assert np.abs(streamed - found.numpy()).max() < 1e-6 * np.abs(streamed).max()


@pytest.mark.slow
def test_a_static_file_takes_one_clip_of_its_length(tmp_path: Path) -> None:
    path, reference = export('gaitset', tmp_path, 'static')
    session = open_session(path, threads=1)
    assert session.get_inputs()[0].shape == [1, 1, 6, 64, 44]
    x = torch.rand(1, 1, 6, 64, 44)
    with torch.no_grad():
        expected = reference(x)
    found = torch.from_numpy(session.run(None, {'input': x.numpy()})[0])
    assert (found - expected).abs().max() < 1e-5 * max(1., float(expected.abs().max()))


def test_what_a_model_of_several_channels_is_given(tmp_path: Path) -> None:
    """An array of its channels, or the folder of a sequence of several pickles."""
    steps = [dict(type='LoadSilhouettes', channels=3), dict(type='SampleFrames', mode='all'),
             dict(type='CropSides'), dict(type='PackGaitInputs')]
    cfg = Config(dict(default_scope='razor_ext', model=dict(type='GaitRecognizer'),
                      test_dataloader=dict(dataset=dict(pipeline=steps, data_in_use=[1, 0]))))
    task = GaitRecognition(cfg, Config.fromfile(
        ROOT / 'configs/deploy/gait_onnxruntime_dynamic.py'), 'cpu')
    arrays = [np.full((4, 2, 64, 64), 7, np.uint8), np.full((4, 64, 44), 9, np.uint8)]
    for name, array in zip(('0_maps', '1_silhouettes'), arrays):
        (tmp_path / f'{name}.pkl').write_bytes(pickle.dumps(array))
    inputs = task.create_input(str(tmp_path))[1][0]
    assert inputs.shape == (3, 4, 64, 44) and inputs.amax((1, 2, 3)).tolist() == [9, 7, 7]
    np.save(tmp_path / 'clip.npy', np.zeros((4, 3, 64, 64), np.uint8))
    assert task.create_input(str(tmp_path / 'clip.npy'))[1][0].shape == (3, 4, 64, 44)
    assert task.create_input(np.zeros((4, 64, 64), np.uint8))[1][0].shape == (3, 4, 64, 44)
    for array, message in ((np.zeros((4, 2, 64, 64), np.uint8), 'of 3 channels, got 2'),
                           (np.zeros((4, 64), np.uint8), 'must be uint8'),
                           (np.zeros((4, 3, 64, 64)), 'got float64')):
        np.save(tmp_path / 'bad.npy', array)
        with pytest.raises(DeployError, match=message):
            task.create_input(str(tmp_path / 'bad.npy'))
