"""What stands at the end: a table, and the page of the report."""
from __future__ import annotations

import sys
from pathlib import Path

from razor_ext.report import Comparison, Stage
from razor_ext.report.collect import collect
from razor_ext.report.page import write_report


def conclude(work_dir: Path, run: Path, dense: Path | None = None) -> tuple[str, Path]:
    """Lay out what a finished pipeline has left, and write its report.

    Args:
        work_dir: of the pipeline.
        run: work directory of its last training.
        dense: folder of the dense model's test and deployment; None for that in `work_dir`.

    Returns:
        The table, whose metric is the first one of the evaluation; and the page.
    """
    dense = dense or work_dir / 'dense'
    stages = [Stage('dense', dense / 'deploy', dense / 'metrics.json'),
              Stage('compressed', work_dir / 'deploy', work_dir / 'metrics.json')]
    comparison = Comparison.of(stages)
    drawn = {f'{name}, {how}': stage.deploy_dir / f'output_{file}.jpg'
             for name, stage in (('dense', stages[0]), ('compressed', stages[1]))
             for how, file in (('torch', 'pytorch'), ('its file', 'onnxruntime'))}
    document = collect(work_dir, comparison, run, ['python', *sys.argv])
    metric = next(iter(stages[0].all_metrics()))
    return comparison.table(metric), write_report(document, drawn, work_dir)
