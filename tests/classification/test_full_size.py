"""Stock models of mmpretrain at full size: trained, pruned and quantized, finetuned, deployed."""
from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tiny_classifier import CLASSES, write_stripes

from tests.algorithms.contract import MOST_LINES, code_lines
from tests.tools.commands import ROOT, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
CONFIGS = ROOT / 'configs' / 'pruning'

DENSE = '''_base_ = 'mmpretrain::{name}.py'
model = dict(head=dict(num_classes={classes}, topk=(1, )))
data_preprocessor = dict(num_classes={classes})
train_dataloader = dict(batch_size=8, num_workers=0, dataset=dict(
    _delete_=True, type='CustomDataset', data_root='{data}/train', pipeline=_base_.train_pipeline))
val_dataloader = dict(batch_size=8, num_workers=0, dataset=dict(
    _delete_=True, type='CustomDataset', data_root='{data}/test', pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1, ))
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr={lr}))
'''
IMPORTS = "custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)\n"
SHORT = ('train_cfg = dict(_delete_=True, by_epoch=True, max_epochs={epochs}, '
         'val_interval={epochs})\nparam_scheduler = []\n')
PRUNE = '''_base_ = ['dense.py', '{configs}/_base_/geta.py']
model = dict(_base_.geta, _delete_=True, architecture=_base_.model, divisor=8,
             checkpoint='{folder}/dense/epoch_3.pth')
optim_wrapper = dict(_base_.geta_optim, lr_ratio=0.5)
default_hooks = _base_.geta_hooks
'''
FINETUNE = '''_base_ = ['dense.py', '{configs}/_base_/finetune.py']
model = dict(_base_.finetune, _delete_=True, compressed='{folder}/prune')
optim_wrapper = dict(_base_.finetune_optim, lr_ratio=0.1)
default_hooks = _base_.finetune_hooks
'''


@pytest.mark.parametrize(('name', 'lr', 'layers'), [
    ('resnet/resnet18_8xb32_in1k', 0.01, 21), ('deit/deit-tiny_4xb256_in1k', 3e-4, 50)])
def test_the_whole_pipeline(tmp_path: Path, name: str, lr: float, layers: int) -> None:
    write_stripes(tmp_path / 'data', count=16)
    fill = dict(name=name, lr=lr, classes=CLASSES, data=tmp_path / 'data', folder=tmp_path,
                configs=CONFIGS)
    (tmp_path / 'dense.py').write_text(DENSE.format(**fill))
    (tmp_path / 'train.py').write_text("_base_ = 'dense.py'\n" + SHORT.format(epochs=3))
    for step, text, epochs in (('prune', PRUNE, 5), ('finetune', FINETUNE, 1)):
        path = tmp_path / f'{step}.py'
        path.write_text(text.format(**fill) + IMPORTS + SHORT.format(epochs=epochs))
        assert code_lines(path) <= MOST_LINES
    for step, work_dir in (('train', 'dense'), ('prune', 'prune'), ('finetune', 'finetune')):
        run(sys.executable, 'tools/train.py', tmp_path / f'{step}.py', '--work-dir',
            tmp_path / work_dir)
    run(sys.executable, 'tools/test.py', tmp_path / 'finetune', '--out', tmp_path / 'metrics.json')
    tested = json.loads((tmp_path / 'metrics.json').read_text())['accuracy/top1']
    image = tmp_path / 'data' / 'test' / 'angle_1' / '0.png'
    run(sys.executable, 'tools/deploy.py',
        'configs/deploy/classification_onnxruntime_static-224x224.py', tmp_path / 'finetune',
        image, '--calib-dataset-cfg', tmp_path / 'dense.py', '--test', '--rounds', 0,
        '--work-dir', tmp_path / 'deployed')
    report = json.loads((tmp_path / 'deployed' / 'report.json').read_text())
    assert report['compared_with'] == 'rewritten'
    assert all(row['max_abs'] <= 1e-5 for row in report['parity'])
    assert len(report['quantization']['integer_layers']) >= layers
    accuracy = {file: metrics['accuracy/top1'] for file, metrics in report['accuracy'].items()}
    assert accuracy['fake_quantization'] == pytest.approx(tested, abs=2), accuracy
    assert set(accuracy) == {'torch', 'fake_quantization', 'float', 'onnx'}
