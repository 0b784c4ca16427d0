"""One table of a model before and after compression, latency measured side by side."""
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prettytable import PrettyTable

from razor_ext.deploy.latency import Spread, speedups, time_onnx


@dataclass(frozen=True)
class Stage:
    """What one model has left behind.

    Args:
        name: column title.
        deploy_dir: folder of `tools/deploy.py`, with report.json and the ONNX file.
        metrics: file of `tools/test.py --out`.
    """
    name: str
    deploy_dir: Path
    metrics: Path

    def report(self) -> dict:
        """Return the report of the deployment.

        Raises:
            FileNotFoundError: the model was not deployed there.
        """
        return _read(self.deploy_dir / 'report.json', 'tools/deploy.py --work-dir')

    def metric(self, key: str) -> float:
        """Return one metric of the evaluation.

        Raises:
            KeyError: the evaluation has no such metric.
        """
        metrics = _read(self.metrics, 'tools/test.py --out')
        if key not in metrics:
            raise KeyError(f'{self.metrics} has no metric {key!r}, only {sorted(metrics)}')
        return metrics[key]

    @property
    def onnx_file(self) -> Path:
        """The exported model."""
        return self.deploy_dir / 'end2end.onnx'


def _read(path: Path, writer: str) -> dict:
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; `{writer}` writes it')
    return json.loads(path.read_text(encoding='utf-8'))


def compare(stages: Sequence[Stage], metric: str, rounds: int = 50) -> str:
    """Lay out stages side by side, the first being the baseline.

    Args:
        stages: the models.
        metric: key of the metric to show.
        rounds: interleaved runs of the latency measurement.

    Returns:
        The table, latency as min / median / max in ms on one thread.
    """
    reports = [stage.report() for stage in stages]
    seconds = time_onnx({stage.name: stage.onnx_file for stage in stages}, 1, rounds)
    ratios = speedups(seconds, stages[0].name)
    table = PrettyTable(['', *(stage.name for stage in stages)], align='r')
    table.align[''] = 'l'
    table.add_row([metric, *(f'{stage.metric(metric):.4f}' for stage in stages)])
    table.add_row(['parameters', *(f'{report["torch"]["params"]:,}' for report in reports)])
    table.add_row(['MACs (M)', *(f'{report["torch"]["macs"] / 1e6:.2f}' for report in reports)])
    table.add_row(['ONNX file (MB)', *(f'{report["onnx"]["bytes"] / 1e6:.2f}'
                                       for report in reports)])
    table.add_row(['latency (ms)', *(f'{Spread.of(seconds[stage.name]).scaled(1e3):.2f}'
                                     for stage in stages)])
    table.add_row(['times faster', *(f'{ratios[stage.name]:.2f}' for stage in stages)])
    table.add_row(['ONNX against torch', *(f'{max(p["max_abs"] for p in report["parity"]):.1e}'
                                           for report in reports)])
    return table.get_string()
