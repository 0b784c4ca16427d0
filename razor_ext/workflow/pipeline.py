"""From a request to the steps that carry it out."""
from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .configs import ConfigFiles
from .request import Request
from .steps import Step, python


def plan_steps(request: Request, files: ConfigFiles, image: str, work_dir: Path,
               epochs: tuple[float, float], dense: bool = True) -> list[Step]:
    """Return the steps of a request, in order.

    Args:
        request: what is asked for.
        files: its configs.
        image: input that the exporter traces.
        work_dir: where the results go.
        epochs: length of the prune and of the finetune run, in any unit; 0 of the latter for none.
        dense: whether the dense model is tested and deployed, too.
    """
    run = last_run(work_dir, epochs)
    steps = [
        *(dense_steps(request, files, image, work_dir / 'dense') if dense else ()),
        _compressing(request, files, work_dir, epochs[0])]
    if epochs[1]:
        steps.append(Step('finetune', 'finetune', _train(
            request, files.finetune, work_dir / 'finetune'), 'train', epochs[1]))
    return [
        *steps,
        Step('test', 'test the compressed model', python(
            'test.py', str(run / 'compressed'), '--work-dir', str(work_dir / 'test'),
            '--out', str(work_dir / 'metrics.json')), 'test'),
        Step('deploy', f'deploy for {request.backend}, and test the file', python(
            'deploy.py', str(files.deploy), str(run / 'compressed'), image, '--work-dir',
            str(work_dir / 'deploy'), '--test', *_calibration(request, files)), 'deploy', 2.)]


def dense_steps(request: Request, files: ConfigFiles, image: str, folder: Path) -> list[Step]:
    """Return the steps that test and deploy the dense model.

    Args:
        request, files, image: see `plan_steps`.
        folder: where the results go.
    """
    return [
        Step('test_dense', 'test the dense model', python(
            'test.py', str(files.dense), request.checkpoint, '--work-dir', str(folder),
            '--out', str(folder / 'metrics.json')), 'test'),
        Step('deploy_dense', 'deploy the dense model', python(
            'deploy.py', str(files.deploy), str(files.dense), request.checkpoint, image,
            '--work-dir', str(folder / 'deploy')), 'deploy')]


def _compressing(request: Request, files: ConfigFiles, work_dir: Path, epochs: float) -> Step:
    if request.trains:
        return Step('prune', f'compress by {request.method}', _train(
            request, files.prune, work_dir / 'prune'), 'train', epochs)
    return Step('prune', 'compress without training', python(
        'post_train.py', str(files.prune), '--work-dir', str(work_dir / 'prune'), '--images',
        str(request.images)), 'post_train')


def last_run(work_dir: Path, epochs: tuple[float, float]) -> Path:
    """Return the work directory of the last training; see `plan_steps`."""
    return work_dir / ('finetune' if epochs[1] else 'prune')


def _calibration(request: Request, files: ConfigFiles) -> tuple[str, ...]:
    return ('--calib-dataset-cfg', str(files.dense)) if request.quantizes else ()


def _train(request: Request, config: Path, work_dir: Path) -> list[str]:
    arguments = (str(config), '--work-dir', str(work_dir), '--resume')
    if not request.gpus:
        return python('train.py', *arguments)
    tool = Path(python('train.py')[1])
    return [sys.executable, '-m', 'torch.distributed.run', '--standalone',
            f'--nproc_per_node={request.gpus}', str(tool), str(config), '--launcher', 'pytorch',
            *arguments[1:]]


def lengths(request: Request, train_cfg: Mapping[str, Any]) -> tuple[float, float]:
    """Return the length of the prune and of the finetune run, in epochs or iterations.

    Args:
        request: what is asked for.
        train_cfg: of the dense config.
    """
    dense = train_cfg.get('max_epochs') or train_cfg.get('max_iters') or 1
    prune, finetune = request.length, request.finetune_length
    return (float(dense if prune is None else prune.count),
            float(dense if finetune is None else finetune.count))
