"""benchmarks/cifar.py from files to a table, on patches of colour."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from .commands import ROOT

METHODS = ('GETA, 8 bits, distilled', 'L1, then QAT int8', 'dense, trained on',
           'GETA, BOPs .02, 4 to 8 bits')


def write(folder: Path) -> None:
    generator = np.random.default_rng(0)
    sys.path.insert(0, str(ROOT / 'benchmarks'))
    try:
        from cifar_data import ResNet20
    finally:
        sys.path.pop(0)
    for part, count in (('train', 50000), ('test', 100)):
        labels = generator.integers(0, 10, count)
        jpeg = [cv2.imencode('.jpg', np.full((32, 32, 3), 25 * label, np.uint8))[1].ravel()
                for label in range(10)]
        files = [jpeg[label] for label in labels]
        np.savez(folder / f'{part}.npz', jpeg=np.concatenate(files), labels=labels,
                 offsets=np.cumsum([0, *map(len, files)]))
    state = {f'module.{key}': value for key, value in ResNet20().state_dict().items()}
    torch.save({'state_dict': state}, folder / 'resnet20.th')


@pytest.mark.slow
def test_methods_are_run_once_and_shown(tmp_path: Path) -> None:
    write(tmp_path)
    out = tmp_path / 'results.json'

    def call(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, str(ROOT / 'benchmarks' / 'cifar.py'), *arguments], text=True,
            capture_output=True, check=False, cwd=tmp_path,
            env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'})
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    arguments = ('run', str(tmp_path), '--steps', '60', '--images', '256', '--seeds', '0',
                 '--out', str(out), '--methods')
    call(*arguments, *METHODS)
    content = json.loads(out.read_text())
    assert [row['method'] for row in content['rows']] == list(METHODS)
    assert {'machine', 'date', 'settings', 'dense'} <= set(content)
    by_name = {row['method']: row for row in content['rows']}
    assert by_name['L1, then QAT int8']['macs'] <= .5
    assert by_name['L1, then QAT int8']['relative_bops'] <= .5 / 16
    assert .95 * .02 < by_name['GETA, BOPs .02, 4 to 8 bits']['relative_bops'] <= .02
    call(*arguments, METHODS[0])
    assert json.loads(out.read_text())['rows'] == content['rows']
    assert f'| {METHODS[0]} | 1 |' in call('table', str(out))
