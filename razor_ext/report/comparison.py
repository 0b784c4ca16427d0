"""One table of a model before and after compression, latency measured side by side."""
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prettytable import PrettyTable

from razor_ext.deploy.latency import Spread, speedups, time_onnx
from razor_ext.quantization.accounting import FLOAT_BITS


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
        metrics = self.all_metrics()
        if key not in metrics:
            raise KeyError(f'{self.metrics} has no metric {key!r}, only {sorted(metrics)}')
        return metrics[key]

    def all_metrics(self) -> dict[str, float]:
        """Return the metrics of the evaluation, in its order.

        Raises:
            FileNotFoundError: the model was not tested.
        """
        return _read(self.metrics, 'tools/test.py --out')

    @property
    def onnx_file(self) -> Path:
        """The exported model."""
        return self.deploy_dir / 'end2end.onnx'


def _read(path: Path, writer: str) -> dict:
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; `{writer}` writes it')
    return json.loads(path.read_text(encoding='utf-8'))


@dataclass(frozen=True)
class Comparison:
    """Stages side by side, the first being the baseline.

    Attributes:
        stages: the models.
        reports: what their deployments say, in order.
        latency: of each ONNX file on one thread, in ms; empty where it was not timed.
        ratios: how many times faster than the baseline.
    """

    stages: Sequence[Stage]
    reports: Sequence[dict]
    latency: dict[str, Spread]
    ratios: dict[str, Spread]

    @classmethod
    def of(cls, stages: Sequence[Stage], rounds: int = 50) -> Comparison:
        """Read the stages and time their files.

        Args:
            stages: the models.
            rounds: interleaved runs of the latency measurement.
        """
        reports = [stage.report() for stage in stages]
        if any(report.get('latency') == {} for report in reports):  # files of another runtime
            return cls(stages, reports, {}, {})
        seconds = time_onnx({stage.name: stage.onnx_file for stage in stages}, 1, rounds)
        return cls(stages, reports,
                   {name: Spread.of(values).scaled(1e3) for name, values in seconds.items()},
                   speedups(seconds, stages[0].name))

    def bops(self, index: int) -> float:
        """Return the bit operations of a model, those of a float one at 32 bits."""
        report = self.reports[index]
        figures = report.get('quantization')
        return figures['bops'] if figures else report['torch']['macs'] * FLOAT_BITS ** 2

    def table(self, *metrics: str) -> str:
        """Lay the stages out.

        Args:
            *metrics: keys of the metrics to show; of a file that was tested too, its own as well.

        Returns:
            The table, latency as min / median / max in ms on one thread.
        """
        stages, reports = self.stages, self.reports
        table = PrettyTable(['', *(stage.name for stage in stages)], align='r')
        table.align[''] = 'l'
        for metric in metrics:
            table.add_row([metric, *(f'{stage.metric(metric):.4f}' for stage in stages)])
            files = [(report.get('accuracy') or {}).get('onnx', {}).get(metric)
                     for report in reports]
            if any(value is not None for value in files):
                table.add_row([f'{metric} of the file', *(
                    '' if value is None else f'{value:.4f}' for value in files)])
        table.add_row(['parameters', *(f'{report["torch"]["params"]:,}' for report in reports)])
        table.add_row(['MACs (M)', *(f'{report["torch"]["macs"] / 1e6:.2f}' for report in reports)])
        table.add_row(['bit operations (G)', *(f'{self.bops(index) / 1e9:.2f}'
                                               for index in range(len(stages)))])
        table.add_row(['ONNX file (MB)', *(f'{report["onnx"]["bytes"] / 1e6:.2f}'
                                           for report in reports)])
        if self.latency:
            table.add_row(['latency (ms)', *(f'{self.latency[stage.name]:.2f}'
                                             for stage in stages)])
            table.add_row(['times faster', *(f'{self.ratios[stage.name]:.2f}'
                                             for stage in stages)])
        table.add_row(['ONNX against torch', *(f'{max(p["max_abs"] for p in report["parity"]):.1e}'
                                               for report in reports)])
        return table.get_string()


def compare(stages: Sequence[Stage], metrics: Sequence[str], rounds: int = 50) -> str:
    """Lay out stages side by side, the first being the baseline; see `Comparison`.

    Args:
        stages: the models.
        metrics: keys of the metrics to show; none for the first one of the evaluation.
        rounds: interleaved runs of the latency measurement.
    """
    comparison = Comparison.of(stages, rounds)
    return comparison.table(*(metrics or [next(iter(stages[0].all_metrics()))]))
