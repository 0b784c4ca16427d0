"""Stock configs through the one command: pruned, quantized, finetuned, integers that follow.

`-s` prints the row of docs/compress.md. No weights are published here: they are random, the batch
norms have seen photographs, so that metrics say nothing and outputs are the worst case.
"""
from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from stock_models import write_weights

from razor_ext.graph import analyze
from razor_ext.workflow.model import build_dense
from tests.tools.commands import ROOT, run

PHOTOGRAPHS = ROOT.parent / 'shared' / 'data' / 'pose' / 'coco'
pytestmark = [
    pytest.mark.slow, pytest.mark.upstream, pytest.mark.timeout(1800),
    pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason='the shared photographs are absent')]
BODY = 'mmpose::body_2d_keypoint'
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
#: Points of a whole body beside the 17 of COCO, by the name in its annotations.
PARTS = {'foot': 6, 'face': 68, 'lefthand': 21, 'righthand': 21}


@dataclass(frozen=True)
class Row:
    """A model of the zoo.

    Attributes:
        config: its stock config.
        reachable: least share of its parameters that pruning can reach.
        error: largest relative L2 error of the integers to fake quantization.
        stays_float: layers of the exported file that are not on integers.
        data: what is made of the photographs: 'body', 'whole body' or 'classes'.
        options: changes to the config.
    """

    config: str
    reachable: float
    error: float
    stays_float: int = 0
    data: str = 'body'
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the config."""
        return Path(self.config).stem


CLASSES: dict[str, Any] = dict(data='classes', options={
    'model.head.num_classes': 8, 'data_preprocessor.num_classes': 8})
ROWS = (
    Row(f'{BODY}/simcc/coco/simcc_res50_8xb64-210e_coco-256x192.py', .92, .05, stays_float=3),
    Row(f'{BODY}/topdown_heatmap/coco/td-hm_ViTPose-small_8xb64-210e_coco-256x192.py', .99, .1,
        stays_float=3),
    Row('mmpose::wholebody_2d_keypoint/rtmpose/coco-wholebody/'
        'rtmpose-m_8xb64-270e_coco-wholebody-256x192.py', .99, .35, data='whole body'),
    Row('mmpretrain::resnet/resnet18_8xb32_in1k.py', .99, .2, **CLASSES),
    Row('mmpretrain::deit/deit-tiny_4xb256_in1k.py', .99, .1, stays_float=1, **CLASSES))


def write_data(kind: str, folder: Path) -> list[object]:
    """Write what the photographs lack for a kind of models, and return the options of the data."""
    (folder / 'photos').symlink_to(PHOTOGRAPHS)
    generator = np.random.default_rng(0)
    if kind == 'classes':  # each half of a photograph is one
        for index, path in enumerate(sorted(PHOTOGRAPHS.glob('*.jpg'))):
            for side, half in enumerate(np.array_split(cv2.imread(str(path)), 2, axis=1)):
                place = folder / 'classes' / f'{index}_{side}'
                place.mkdir(parents=True)
                height = len(half)
                for number, top in enumerate(generator.integers(0, height // 3, 2)):
                    cv2.imwrite(str(place / f'{number}.jpg'), half[top:top + 2 * height // 3])
        return ['--data-root', folder, '--train-images', 'classes', '--val-images', 'classes']
    content = json.loads((PHOTOGRAPHS / 'test_coco.json').read_text())
    for person in content['annotations'] if kind == 'whole body' else ():
        x, y, width, height = person['bbox']
        for part, count in PARTS.items():
            points = generator.uniform((x, y), (x + width, y + height), (count, 2))
            person[f'{part}_kpts'] = np.column_stack([points, np.full(count, 2)]).ravel().tolist()
            person.update({f'{part}_box': person['bbox'], f'{part}_valid': True})
    (folder / 'people.json').write_text(json.dumps(content))
    return ['--data-root', folder, '--train-ann', 'people.json', '--val-ann', 'people.json',
            '--train-images', 'photos', '--val-images', 'photos']


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row.name)
def test_a_stock_config_goes_through(row: Row, tmp_path: Path) -> None:
    shape = write_weights(row.config, row.options, sorted(PHOTOGRAPHS.glob('*.jpg')),
                          tmp_path / 'dense.pth')
    options = {'train_cfg.val_interval': 1000, **row.options}
    for loader in LOADERS:
        options.update({f'{loader}.batch_size': 4, f'{loader}.num_workers': 0,
                        f'{loader}.persistent_workers': False})
    out = tmp_path / 'out'
    run(sys.executable, 'tools/compress.py', row.config, tmp_path / 'dense.pth', '--divisor', 8,
        *write_data(row.data, tmp_path), '--work-dir', out, '--epochs', 16, '--finetune-epochs', 2,
        '--cfg-options', *(f'{key}={value}' for key, value in options.items()))

    model = build_dense(Config.fromfile(out / 'configs' / 'dense.py')).eval()
    graph = analyze(model, torch.zeros(shape))
    dense, compressed = json.loads((out / 'report.json').read_text())['stages']
    integers = json.loads((out / 'deploy' / 'report.json').read_text())['quantization']
    layers = len(integers['integer_layers'])
    error = max(output['relative_l2'] for output in integers['parity_on_calibration'])
    print(f'\n| {row.name} | {len(graph.units)} | {graph.reachable_share:.1%} | '
          f'{dense["macs"] / 1e6:.0f} to {compressed["macs"] / 1e6:.0f} | '
          f'{layers} of {layers + len(integers["float_layers"])} | {error:.2g} |')
    assert graph.reachable_share > row.reachable
    assert compressed['macs'] <= 0.505 * dense['macs']
    assert layers > 0
    assert len(integers['float_layers']) == row.stays_float
    assert error < row.error
