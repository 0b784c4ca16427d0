"""The report of a pipeline as one page that needs nothing else."""
from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from razor_ext.engine.atomic import atomic_write, write_json

from .charts import bit_chart, curve_chart, unit_chart

#: Names of the page and of the document beside it.
PAGE, DOCUMENT = 'report.html', 'report.json'


def write_report(document: Mapping[str, Any], pictures: Mapping[str, Path], folder: Path) -> Path:
    """Write the page, and its JSON document.

    Args:
        document: of `collect`.
        pictures: JPEG files by caption; one that does not exist is left out.
        folder: where.

    Returns:
        The page.
    """
    write_json(folder / DOCUMENT, document)
    page = folder / PAGE
    with atomic_write(page) as temporary:
        temporary.write_text(render(document, pictures), encoding='utf-8')
    return page


def render(document: Mapping[str, Any], pictures: Mapping[str, Path]) -> str:
    """Return the page; see `write_report`."""
    environment = Environment(loader=PackageLoader('razor_ext.report'), undefined=StrictUndefined,
                              autoescape=select_autoescape(), trim_blocks=True, lstrip_blocks=True)
    dense, compressed = document['stages'][0], document['stages'][-1]
    metric = next(iter(dense['metrics']), None)
    charts = {'Channels of every unit': unit_chart(document['units'])}
    if document['layers']:
        charts['Bits of every quantized layer'] = bit_chart(document['layers'])
    charts.update(_curves(document, metric))
    return environment.get_template('report.html').render(
        title=document['title'], dense=dense, compressed=compressed, metric=metric,
        headline=headline(dense, compressed, metric), units=document['units'],
        layers=document['layers'], deployment=document['deployment'],
        charts={caption: Markup(svg) for caption, svg in charts.items()},
        command=shlex.join(document['command']),
        pictures={caption: _embedded(path) for caption, path in pictures.items()
                  if path.is_file()})


def headline(dense: Mapping[str, Any], compressed: Mapping[str, Any], metric: str | None
             ) -> list[tuple[str, str]]:
    """Return the answers that a reader looks for first, each with what it is.

    Args:
        dense, compressed: entries of `stages`.
        metric: the one to judge by; None where nothing was tested.
    """
    answers = [(f'{dense["bytes"] / compressed["bytes"]:.1f} times', 'smaller file')]
    if 'ratio' in compressed:
        answers.append((f'{compressed["ratio"]["median"]:.2f} times', 'faster on one thread'))
    answers.append((f'{compressed["macs"] / dense["macs"]:.0%}', 'of the MACs'))
    if metric is not None:
        change = compressed['metrics'][metric] - dense['metrics'][metric]
        answers.append((f'{change:+.4f}', f'{metric}: {dense["metrics"][metric]:.4f} to '
                        f'{compressed["metrics"][metric]:.4f}'))
    return answers


def _curves(document: Mapping[str, Any], metric: str | None) -> dict[str, str]:
    charts: dict[str, str] = {}
    for stage, rows in document['training'].items():
        def points(name: str, rows: list = rows) -> list[tuple[float, float]]:
            return [(row['step'], row[name]) for row in rows if name in row]

        loss, accuracy = points('loss'), points(metric) if metric else []
        if loss:
            charts[f'Loss of the {stage} run'] = curve_chart({'loss': loss}, 'loss')
        if len(accuracy) > 1:
            dense = document['stages'][0]['metrics'][metric]
            charts[f'Accuracy of the {stage} run, validation'] = curve_chart(
                {stage: accuracy}, str(metric), {'dense': dense})
    return charts


def _embedded(path: Path) -> str:
    return 'data:image/jpeg;base64,' + base64.b64encode(path.read_bytes()).decode('ascii')
