"""A request carried out: configs written, steps done, the report."""
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from razor_ext.engine.families import find_pruned_as
from razor_ext.report.page import DOCUMENT

from .conclusion import conclude
from .configs import ConfigFiles, write_configs, write_dense
from .model import build_dense, deploy_config, first_sample
from .pipeline import dense_steps, last_run, lengths, plan_steps
from .request import Request
from .steps import Record, run_steps


@dataclass(frozen=True)
class Prepared:
    """A request whose configs are written.

    Attributes:
        request: what is asked for.
        files: its configs.
        image: input that the exporter traces.
        work_dir: where the results go.
        epochs: length of the prune and of the finetune run.
        stock: the config that the request names, loaded.
    """

    request: Request
    files: ConfigFiles
    image: str
    work_dir: Path
    epochs: tuple[float, float]
    stock: Config


def prepare(request: Request, stock: Config, work_dir: Path) -> Prepared:
    """Write the configs of a request.

    Args:
        request: what is asked for.
        stock: the config that it names, loaded.
        work_dir: where.
    """
    dense = write_dense(request, stock, work_dir)
    cfg = Config.fromfile(dense)
    model = build_dense(cfg)
    deployment = deploy_config(model, request)
    image = request.image or first_sample(cfg)
    files = write_configs(request, dense, deployment, work_dir, find_pruned_as(model))
    return Prepared(request, files, image, work_dir, lengths(request, cfg.train_cfg), stock)


def carry_out(prepared: Prepared, record: Record, dense: Path | None = None) -> tuple[str, Path]:
    """Do the steps of a request that are not done yet.

    Args:
        prepared: the request.
        record: what is done.
        dense: folder of the dense model's test and deployment, if these are done.

    Returns:
        The table, and the page of the report.
    """
    work_dir, epochs = prepared.work_dir, prepared.epochs
    run_steps(plan_steps(prepared.request, prepared.files, prepared.image, work_dir, epochs,
                         dense is None), record, work_dir / 'logs')
    return conclude(work_dir, last_run(work_dir, epochs), dense)


def run_dense(prepared: Prepared, record: Record) -> Path:
    """Test and deploy the dense model of a request; returns the folder of both."""
    folder = prepared.work_dir / 'dense'
    run_steps(dense_steps(prepared.request, prepared.files, prepared.image, folder), record,
              prepared.work_dir / 'logs')
    return folder


def at_share(prepared: Prepared, share: float, dense: Path) -> dict[str, Any]:
    """Carry a request out at another share of its target, in a folder of its own.

    Args:
        prepared: the request.
        share: to leave, of what its target names.
        dense: folder of the dense model's test and deployment.

    Returns:
        The document of its report.
    """
    kind = prepared.request.target[0]
    request = replace(prepared.request, target=(kind, share))
    folder = prepared.work_dir / f'{kind}-{share:g}'
    print(f'\n{kind}={share:g}, in {folder}', flush=True)
    table, _ = carry_out(prepare(request, prepared.stock, folder),
                         Record(folder, request.as_dict()), dense)
    print(table, flush=True)
    return read_document(folder)


def read_document(work_dir: Path) -> dict[str, Any]:
    """Return the document of a finished report.

    Raises:
        FileNotFoundError: there is none.
    """
    path = work_dir / DOCUMENT
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist: give the work directory of a finished '
                                'tools/compress.py')
    return json.loads(path.read_text(encoding='utf-8'))


def file_metric(document: Mapping[str, Any], metric: str) -> float:
    """Return a metric of the exported file, from the document of a report."""
    accuracy = document['deployment']['accuracy']
    # In the order of deployment: of the backend's own file, if it has one, last.
    files = [name for name in accuracy
             if name not in ('torch', 'fake_quantization', 'float', 'static')]
    return float(accuracy[files[-1]][metric])
