"""`tools/compress.py` as a user runs it, on a stock config and a data set of their own."""
from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from razor_ext.structure import load_compressed
from razor_ext.workflow.dry_run import describe
from tests.algorithms.contract import bit_widths
from tests.algorithms.settings import CONFIGS, FAMILIES
from tests.tools.commands import run

STOCK = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_mobilenetv2_8xb64-210e_coco-256x192.py'


def write_people(folder: Path, count: int = 8) -> None:
    """Write images of noise with a person each, in COCO's format."""
    (folder / 'photos').mkdir(parents=True)
    generator = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(count):
        cv2.imwrite(str(folder / 'photos' / f'{index}.jpg'),
                    generator.integers(0, 255, (160, 120, 3), np.uint8))
        points = np.column_stack([generator.integers(20, 100, 17), generator.integers(20, 140, 17),
                                  np.full(17, 2)])
        images.append(dict(id=index, file_name=f'{index}.jpg', width=120, height=160))
        annotations.append(dict(
            id=index, image_id=index, category_id=1, iscrowd=0, area=9600, num_keypoints=17,
            bbox=[20, 20, 80, 120], keypoints=points.ravel().tolist()))
    names = Config.fromfile(Config._get_cfg_path(
        'mmpose::_base_/datasets/coco.py', '')[0]).dataset_info.keypoint_info.values()
    (folder / 'people.json').write_text(json.dumps(dict(
        images=images, annotations=annotations, categories=[dict(
            id=1, name='person', keypoints=[point.name for point in names], skeleton=[])])))


def write_checkpoint(path: Path) -> None:
    config = Config.fromfile(Config._get_cfg_path(STOCK, '')[0])
    config.model.backbone.init_cfg = None
    init_default_scope('mmpose')
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    torch.save({'state_dict': model.state_dict()}, path)


def test_a_dry_run_says_what_would_be_done(tmp_path: Path) -> None:
    FAMILIES['pose'].write(tmp_path)
    (tmp_path / 'prune.py').write_text(f"""
_base_ = ['dense.py', {str(CONFIGS / 'pruning/_base_/geta.py')!r}]
custom_imports = dict(imports=['razor_ext', 'tiny_pose'], allow_failed_imports=False)
model = dict(_base_.geta, _delete_=True, architecture=_base_.model,
             checkpoint={str(tmp_path / 'dense.pth')!r})
optim_wrapper = _base_.geta_optim
default_hooks = _base_.geta_hooks
train_cfg = dict(by_epoch=False, max_iters=60)
""")
    text = describe(tmp_path / 'prune.py', 0.5)
    assert 'parameters reachable' in text
    assert '60 iterations; stages in optimizer steps: warm-up from 0' in text
    macs = [float(cell) for cell in next(
        line for line in text.splitlines() if 'MACs (M)' in line).split('|')[2:4]]
    assert macs[1] <= macs[0] / 2 + .01  # printed with two digits
    assert 's an iteration here' in text


def test_mistakes_end_with_one_line(tmp_path: Path) -> None:
    torch.save({}, tmp_path / 'dense.pth')
    compress = (sys.executable, 'tools/compress.py')
    for arguments, expected in (
            ((STOCK, tmp_path / 'no.pth'), "compress: checkpoint '"),
            ((STOCK, tmp_path / 'dense.pth', '--target', 'half'), "--target 'half'")):
        text = run(*compress, *arguments, '--work-dir', tmp_path / 'out', fails=True)
        assert expected in text
        assert 'Traceback' not in text
    assert not (tmp_path / 'out').exists()


def compress_mine(folder: Path) -> tuple[object, ...]:
    """Return the command over `write_people` and `write_checkpoint`, without its lengths."""
    loaders = [f'{loader}_dataloader.{option}' for loader in ('train', 'val', 'test')
               for option in ('num_workers=0', 'persistent_workers=False')]
    return (
        sys.executable, 'tools/compress.py', STOCK, folder / 'dense.pth',
        '--data-root', folder / 'mine', '--train-ann', 'people.json', '--val-ann', 'people.json',
        '--train-images', 'photos', '--val-images', 'photos', '--work-dir', folder / 'out',
        '--cfg-options', 'train_dataloader.batch_size=4', *loaders)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_stock_config_becomes_integers_and_a_report(tmp_path: Path) -> None:
    write_people(tmp_path / 'mine')
    write_checkpoint(tmp_path / 'dense.pth')
    command = (*compress_mine(tmp_path), '--epochs', 20, '--finetune-epochs', 2)
    text = run(*command)
    assert 'times faster' in text
    folder = load_compressed(tmp_path / 'out' / 'finetune')
    assert folder.quant_path is not None
    report = json.loads((tmp_path / 'out' / 'report.json').read_text())
    dense, compressed = report['stages']
    assert compressed['macs'] <= 0.51 * dense['macs']
    assert (tmp_path / 'out' / 'deploy' / 'end2end.onnx').stat().st_size < 0.5 * dense['bytes']
    assert '<svg' in (tmp_path / 'out' / 'report.html').read_text()
    assert run(*command).count('done before') == 6


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_without_training_two_shares_give_two_files_and_a_plot(tmp_path: Path) -> None:
    write_people(tmp_path / 'mine')
    write_checkpoint(tmp_path / 'dense.pth')
    command = (*compress_mine(tmp_path), '--epochs', 0, '--images', 8, '--pareto', '0.8,0.5',
               '--bits', '6-8', '--mean-bits', 7, '--method', 'taylor')
    text = run(*command)
    assert text.count('compress without training') == 4  # begun and ended, twice
    rows = json.loads((tmp_path / 'out' / 'runs.json').read_text())
    assert [row['name'] for row in rows] == ['dense', 'macs=0.8', 'macs=0.5']
    for row, share in zip(rows[1:], (0.8, 0.5)):
        assert row['macs'] <= share * rows[0]['macs'] * 1.01
        assert row['bytes'] < 0.5 * rows[0]['bytes']
        folder = load_compressed(tmp_path / 'out' / f'macs-{share}' / 'prune')
        assert folder.quant_path is not None
        assert set(bit_widths(folder.quant_path).values()) > {7}
    assert '<svg' in (tmp_path / 'out' / 'runs.html').read_text()
    assert run(*command).count('done before') == 8
    # And on by training.
    assert 'finetune' in run(sys.executable, 'tools/train.py',
                             tmp_path / 'out' / 'macs-0.5' / 'configs' / 'finetune.py',
                             '--work-dir', tmp_path / 'on', '--cfg-options',
                             'train_cfg.max_epochs=1')


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_accuracy_budget_is_searched_on_the_validation_set(tmp_path: Path) -> None:
    write_people(tmp_path / 'mine')
    write_checkpoint(tmp_path / 'dense.pth')
    command = (*compress_mine(tmp_path), '--epochs', 0, '--images', 8, '--max-drop', 50,
               '--method', 'l1', '--bits', 8)
    text = run(*command)
    found = json.loads((tmp_path / 'out' / 'search.json').read_text())
    assert found['finished'][str(found['share'])] <= 50
    assert f'macs={found["share"]:g} is the smallest that was found' in text
    assert (tmp_path / 'out' / f'macs-{found["share"]:g}' / 'deploy' / 'end2end.onnx').is_file()
