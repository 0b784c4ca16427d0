"""RTMDet-tiny as mmdet has it, on photographs, from pruning to a file of integers."""
from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope

from tests.tools.commands import ROOT, run

PHOTOGRAPHS = ROOT.parent / 'shared' / 'data' / 'pose' / 'coco'
BASES = ROOT / 'configs' / 'pruning' / '_base_'
DENSE = f"""
_base_ = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'
root = '{PHOTOGRAPHS}/'
people = dict(
    data_root=root, ann_file='test_coco.json', data_prefix=dict(img=''),
    metainfo=dict(classes=('person', )))
model = dict(bbox_head=dict(num_classes=1), backbone=dict(init_cfg=None))
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=people)
val_dataloader = dict(batch_size=1, num_workers=0, persistent_workers=False, dataset=people)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=root + 'test_coco.json')
test_evaluator = val_evaluator
"""
COMMON = """
custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)
default_hooks = _base_.{name}_hooks
optim_wrapper = _base_.{name}_optim
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters={steps}, val_interval=1000)
model = dict(_base_.{name}, _delete_=True, {model})
"""


def write_dense(folder: Path) -> None:
    """Write random weights whose batch norms have seen data: a stand-in for the published ones."""
    cfg = Config.fromfile(folder / 'dense.py')
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.init_weights()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = None
    with torch.no_grad():
        model.train()(torch.randn(4, 3, 320, 320).cumsum(-1).cumsum(-2) / 50)
    torch.save({'state_dict': model.state_dict()}, folder / 'dense.pth')


def code_lines(text: str) -> int:
    return sum(bool(line.strip()) for line in text.splitlines())


@pytest.mark.slow
@pytest.mark.upstream
@pytest.mark.timeout(3000)
@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason='the shared photographs are absent')
def test_rtmdet_tiny_goes_from_pruning_to_integers(tmp_path: Path) -> None:
    texts = {'dense': DENSE}
    for step, name, steps, model in (
            ('prune', 'geta', 60, f"architecture=_base_.model, divisor=8, "
             f"checkpoint='{tmp_path}/dense.pth'"),
            ('finetune', 'finetune', 20, f"compressed='{tmp_path}/prune'")):
        texts[step] = (f"_base_ = ['dense.py', '{BASES / name}.py']"
                       + COMMON.format(name=name, steps=steps, model=model))
    for step, text in texts.items():
        assert code_lines(text) <= 12
        (tmp_path / f'{step}.py').write_text(text)
    write_dense(tmp_path)
    for step in ('prune', 'finetune'):
        run(sys.executable, 'tools/train.py', tmp_path / f'{step}.py', '--work-dir',
            tmp_path / step)
    run(sys.executable, 'tools/test.py', tmp_path / 'finetune', '--work-dir', tmp_path / 'test',
        '--out', tmp_path / 'metrics.json')
    assert 'coco/bbox_mAP' in json.loads((tmp_path / 'metrics.json').read_text())
    run(sys.executable, 'tools/deploy.py',
        'configs/deploy/detection_onnxruntime_static-640x640.py', tmp_path / 'finetune',
        PHOTOGRAPHS / '000000000785.jpg', '--calib-dataset-cfg', tmp_path / 'dense.py', '--test',
        '--rounds', '0', '--work-dir', tmp_path / 'deployed')
    report = json.loads((tmp_path / 'deployed' / 'report.json').read_text())
    assert report['compared_with'] == 'inner'
    assert max(row['max_abs'] / max(1., row['scale']) for row in report['parity']) < 1e-4
    assert max(row['relative_l2'] for row in report['quantization']['parity_on_calibration']) < .35
    assert report['selection']['differing'] <= max(1., .01 * report['selection']['compared'])
    assert report['onnx']['macs'] <= .5 * 8.04e9
    assert abs(report['accuracy']['onnx']['coco/bbox_mAP']
               - report['accuracy']['fake_quantization']['coco/bbox_mAP']) < .05
