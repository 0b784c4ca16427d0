"""Full-size RTMPose on photographs: GETA prune, finetune, test, deploy by the tools, two ranks."""
from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmrazor.registry import MODELS

from .commands import ROOT, run
from .test_photographs import COCO, DIGEST, HALPE, PHOTOGRAPHS, SHORT

pytestmark = [
    pytest.mark.slow, pytest.mark.upstream, pytest.mark.timeout(2400),
    pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason='the shared photographs are absent')]

PRUNE = '''_base_ = '{configs}/geta_prune_{name}.py'
model = dict(
    checkpoint='{folder}/dense.pth', architecture=dict(backbone=dict(init_cfg=None)), stages=dict(
        warmup=0.1, projection=0.2, pruning=0.4, projection_periods=2, pruning_periods=2))
'''
FINETUNE = '''_base_ = '{configs}/geta_finetune_{name}.py'
model = dict(compressed='{folder}/prune')
'''


def write_dense(config: Path, path: Path) -> None:
    """Write random weights whose batch norms have seen data: a stand-in for the published ones."""
    cfg = Config.fromfile(config)
    cfg.model.architecture.backbone.init_cfg = None
    init_default_scope('mmpose')
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg.model.architecture))
    model.init_weights()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model.train()(torch.randn(8, 3, 256, 192), None)
    torch.save({'state_dict': model.state_dict()}, path)


@pytest.mark.parametrize('name, data, port', [
    ('rtmpose-s_8xb256-420e_coco-256x192', COCO, 29621),
    ('rtmpose-t_8xb1024-700e_body8-halpe26-256x192', HALPE, 29622)], ids=['s-coco', 't-halpe26'])
def test_prune_finetune_test_deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str,
                                    data: str, port: int) -> None:
    monkeypatch.setenv('PORT', str(port))
    fill = dict(configs=ROOT / 'configs' / 'pruning' / 'rtmpose', name=name, folder=tmp_path,
                photos=PHOTOGRAPHS, epochs=6)
    for step, text, hooks in (('prune', PRUNE, DIGEST), ('finetune', FINETUNE, '')):
        (tmp_path / f'{step}.py').write_text((text + data + SHORT).format(hooks=hooks, **fill))

    write_dense(fill['configs'] / f'geta_prune_{name}.py', tmp_path / 'dense.pth')
    run('bash', 'tools/dist_train.sh', tmp_path / 'prune.py', 2, '--work-dir', tmp_path / 'prune')
    digests = [path.read_text() for path in (tmp_path / 'prune').glob('rank?.txt')]
    assert len(digests) == 2 and len(set(digests)) == 1
    compressed = tmp_path / 'prune' / 'compressed'
    written = {path.name for path in compressed.iterdir()}
    assert {'fix_subnet.json', 'quant.json', 'compressed.pth'} <= written

    table = run(sys.executable, 'tools/extract_compressed.py', tmp_path / 'prune.py',
                tmp_path / 'prune' / 'epoch_6.pth', '--out', tmp_path / 'extracted')
    for key in ('parameters', 'MACs', 'BOPs', 'weights (MB)'):
        assert key in table
    for file in ('fix_subnet.json', 'quant.json'):
        assert (tmp_path / 'extracted' / file).read_text() == (compressed / file).read_text()

    run('bash', 'tools/dist_train.sh', tmp_path / 'finetune.py', 2,
        '--work-dir', tmp_path / 'finetune')
    checkpoint = tmp_path / 'finetune' / 'epoch_6.pth'
    run('bash', 'tools/dist_test.sh', tmp_path / 'finetune.py', checkpoint, 2,
        '--work-dir', tmp_path / 'test', '--out', tmp_path / 'metrics.json')
    assert json.loads((tmp_path / 'metrics.json').read_text())

    photographs = sorted((PHOTOGRAPHS / 'coco').glob('*.jpg'))
    # No latency is asked for: integers of a short run need not be faster on this machine.
    run(sys.executable, 'tools/deploy.py',
        'configs/deploy/pose_simcc_onnxruntime_static-256x192.py',
        tmp_path / 'finetune' / 'compressed', photographs[0], '--test-img', *photographs,
        '--work-dir', tmp_path / 'deployed', '--rounds', 0,
        # Weights that are nearly random amplify the rounding between layers.
        '--integer-threshold', 2)
    report = json.loads((tmp_path / 'deployed' / 'report.json').read_text())
    assert {parity['name'] for parity in report['parity']} == {'simcc_x', 'simcc_y'}
    assert all(parity['max_abs'] <= 1e-4 for parity in report['parity'])
    assert len(report['quantization']['integer_layers']) > 30
