"""The ONNX files of the zoo give torch's embeddings, over lengths and batches."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from razor_ext.deploy.convert import Conversion
from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.pipeline import DeployOptions, deploy
from razor_ext.deploy.session import open_session
from razor_ext.gait.deploy.streaming import SET_FEATURES, split_at_set_pooling

from .gait_builders import ZOO, build
from .gait_compression import ROOT

pytestmark = pytest.mark.usefixtures('analysed_once')
#: Of the models of CASIA-B and OU-MVLP that differ in widths alone, one is exported.
EXPORTED = ('deepgaitv2-p3d', 'gaitset', *(pytest.param(name, marks=pytest.mark.slow) for name in (
    'deepgaitv2-2d', 'deepgaitv2-3d', 'gaitpart', 'gln')))


def export(name: str, folder: Path, kind: str = 'dynamic') -> tuple[str, torch.nn.Module]:
    """Deploy a model as tools/deploy.py does; returns its file and the reference."""
    steps = [dict(type='LoadSilhouettes'), dict(type='SampleFrames', mode='all'),
             dict(type='CropSides'), dict(type='PackGaitInputs')]
    cfg = Config(dict(
        default_scope='razor_ext', test_dataloader=dict(dataset=dict(pipeline=steps)),
        model=dict(ZOO[name], data_preprocessor=dict(type='GaitDataPreprocessor'))))
    torch.save(dict(state_dict=build(ZOO[name]).state_dict()), folder / 'dense.pth')
    np.save(folder / 'clip.npy', np.random.default_rng(0).integers(
        0, 2, (6, 64, 64)).astype(np.uint8) * 255)
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
        x = torch.rand(batch, 1, length, 64, 44)
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
