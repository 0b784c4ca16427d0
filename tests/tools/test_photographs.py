"""Full-size RTMPose on photographs: prune, finetune, test and deploy by the tools, two ranks."""
from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from .commands import ROOT, run

PHOTOGRAPHS = ROOT.parent / 'shared' / 'data' / 'pose'
pytestmark = [
    pytest.mark.slow, pytest.mark.upstream, pytest.mark.timeout(1800),
    pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason='the shared photographs are absent')]

COCO = '''
data = dict(_delete_=True, type='CocoDataset', data_root='', data_mode='topdown',
            ann_file='{photos}/coco/test_coco.json', data_prefix=dict(img='{photos}/coco/'))
train_data = dict(**data, pipeline=_base_.train_pipeline)
val_data = dict(**data, pipeline=_base_.val_pipeline, test_mode=True)
val_evaluator = dict(ann_file='{photos}/coco/test_coco.json')
test_evaluator = val_evaluator
'''
HALPE = '''
data = dict(type='HalpeDataset', data_root='', data_mode='topdown',
            ann_file='{photos}/halpe/test_halpe.json', data_prefix=dict(img='{photos}/coco/'),
            pipeline=[dict(type='KeypointConverter', num_keypoints=26,
                           mapping=_base_.halpe_halpe26)])
combined = dict(_delete_=True, type='CombinedDataset',
                metainfo=dict(from_file='configs/_base_/datasets/halpe26.py'), datasets=[data])
train_data = dict(**combined, pipeline=_base_.train_pipeline)
val_data = dict(**combined, pipeline=_base_.val_pipeline, test_mode=True)
'''
SHORT = '''
loader = dict(batch_size=2, num_workers=0, persistent_workers=False)
train_dataloader = dict(**loader, dataset=train_data)
val_dataloader = dict(**loader, dataset=val_data)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs={epochs}, val_interval={epochs})
default_hooks = dict({hooks}
    logger=dict(interval=1), checkpoint=dict(interval=1, save_best=None))
custom_imports = dict(imports=['razor_ext', 'rank_digest'], allow_failed_imports=False)
'''
#: How SHORT is filled for a prune config, whose ranks must end with the same bits.
DIGEST = "digest=dict(type='RankDigestHook'),"
#: Over the dependency graph: the finetuned folder is deployed.
GRAPH = dict(prune='''_base_ = '{configs}/group_fisher_prune_{name}.py'
model = dict(checkpoint=None, schedule=dict(interval=2, end=0.8),
             architecture=dict(backbone=dict(init_cfg=None)))
''', finetune='''_base_ = '{configs}/group_fisher_finetune_{name}.py'
model = dict(compressed='{folder}/prune')
''')
#: MMRazor's own way, with a deploy config of its form.
MMRAZOR = dict(prune='''_base_ = '{configs}/group_fisher_mmrazor_prune_{name}.py'
architecture = dict(init_cfg=None, backbone=dict(init_cfg=None))
model = dict(interval=2, prune_end=0.8, architecture=architecture)
''', finetune='''_base_ = '{configs}/group_fisher_mmrazor_finetune_{name}.py'
architecture = dict(init_cfg=None, backbone=dict(init_cfg=None))
model = dict(algorithm=dict(
    architecture=architecture,
    init_cfg=dict(type='Pretrained', checkpoint='{folder}/prune/flops_0.51.pth')))
''', deploy='''_base_ = '{configs}/group_fisher_mmrazor_deploy_{name}.py'
model = dict(fix_subnet='{folder}/finetune/fix_subnet.json',
             architecture=dict(backbone=dict(init_cfg=None)))
''')


@pytest.mark.parametrize('name, data, steps, port', [
    ('rtmpose-s_8xb256-420e_coco-256x192', COCO, GRAPH, 29611),
    ('rtmpose-t_8xb1024-700e_body8-halpe26-256x192', HALPE, GRAPH, 29612),
    ('rtmpose-s_8xb256-420e_coco-256x192', COCO, MMRAZOR, 29613)],
    ids=['s-coco', 't-halpe26', 's-coco-mmrazor'])
def test_prune_finetune_test_deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str,
                                    data: str, steps: dict[str, str], port: int) -> None:
    monkeypatch.setenv('PORT', str(port))
    fill = dict(configs=ROOT / 'configs' / 'pruning' / 'rtmpose', name=name, folder=tmp_path,
                photos=PHOTOGRAPHS, epochs=4)
    for step, text in steps.items():
        text += '' if step == 'deploy' else data + SHORT
        hooks = DIGEST if step == 'prune' else ''
        (tmp_path / f'{step}.py').write_text(text.format(hooks=hooks, **fill))

    run('bash', 'tools/dist_train.sh', tmp_path / 'prune.py', 2, '--work-dir', tmp_path / 'prune')
    ranks = {path.read_text() for path in (tmp_path / 'prune').glob('rank?.txt')}
    assert len(list((tmp_path / 'prune').glob('rank?.txt'))) == 2 and len(ranks) == 1

    run('bash', 'tools/dist_train.sh', tmp_path / 'finetune.py', 2,
        '--work-dir', tmp_path / 'finetune')
    checkpoint = tmp_path / 'finetune' / 'epoch_4.pth'
    run('bash', 'tools/dist_test.sh', tmp_path / 'finetune.py', checkpoint, 2,
        '--work-dir', tmp_path / 'test', '--out', tmp_path / 'metrics.json')
    assert json.loads((tmp_path / 'metrics.json').read_text())

    photographs = sorted((PHOTOGRAPHS / 'coco').glob('*.jpg'))
    model = ([tmp_path / 'deploy.py', checkpoint] if 'deploy' in steps else
             [tmp_path / 'finetune' / 'compressed'])
    run(sys.executable, 'tools/deploy.py',
        'configs/deploy/pose_simcc_onnxruntime_static-256x192.py', *model, photographs[0],
        '--test-img', *photographs, '--work-dir', tmp_path / 'deployed', '--rounds', 3)
    report = json.loads((tmp_path / 'deployed' / 'report.json').read_text())
    assert {parity['name'] for parity in report['parity']} == {'simcc_x', 'simcc_y'}
    assert all(parity['max_abs'] <= 1e-4 for parity in report['parity'])
    for photograph in photographs:
        drawn = run(sys.executable, 'tools/examples/onnx_pose.py',
                    tmp_path / 'deployed' / 'end2end.onnx', photograph,
                    tmp_path / photograph.name)
        keypoints = 26 if 'halpe26' in name else 17
        assert sum('score' in line for line in drawn.splitlines()) == keypoints
