"""Several runs side by side: a table, and what each reaches for what it costs."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from prettytable import PrettyTable

from razor_ext.engine.atomic import atomic_write, write_json

from .charts import pareto_chart

#: Names of the page and of the document beside it.
PAGE, DOCUMENT = 'runs.html', 'runs.json'
#: Costs by key: what it is, and the unit of the figure.
COSTS: Mapping[str, tuple[str, float]] = {
    'macs': ('MACs (M)', 1e6), 'params': ('parameters (K)', 1e3), 'bytes': ('file (MB)', 1e6),
    'latency': ('latency (ms)', 1.0)}

Documents = Mapping[str, Mapping[str, Any]]


def run_rows(documents: Documents, metric: str | None = None) -> list[dict[str, Any]]:
    """Return the figures of runs, the dense model of the first one before them.

    Args:
        documents: of the reports, by name of the run.
        metric: the one to judge by; None for the first that all have.

    Returns:
        Rows of `name`, `metric`, `value`, `file` (the metric of the exported file, None if it was
        not tested) and the costs.

    Raises:
        ValueError: there is no run, or no metric that all runs have.
    """
    if not documents:
        raise ValueError('there is no run')
    known = [list(document['stages'][-1]['metrics']) for document in documents.values()]
    shared = [name for name in known[0] if all(name in names for names in known)]
    judged = metric or (shared[0] if shared else '')
    if judged not in shared:
        raise ValueError(f'the runs have no metric {metric!r} in common, only {shared}')
    first = next(iter(documents.values()))
    return [_row('dense', first['stages'][0], {}, judged), *(
        _row(name, document['stages'][-1], document['deployment'].get('accuracy') or {}, judged)
        for name, document in documents.items())]


def _row(name: str, stage: Mapping[str, Any], accuracy: Mapping[str, Any], metric: str
         ) -> dict[str, Any]:
    tested = [values for kind, values in accuracy.items()
              if kind not in ('torch', 'fake_quantization', 'float', 'static')]
    return {'name': name, 'metric': metric, 'value': stage['metrics'][metric],
            'file': tested[-1].get(metric) if tested else None,
            'relative_bops': stage.get('relative_bops'),
            **{key: stage.get(key) for key in ('macs', 'params', 'bytes')},
            'latency': (stage.get('latency') or {}).get('median')}


def run_table(rows: list[dict[str, Any]]) -> str:
    """Lay the rows out."""
    table = PrettyTable(['', rows[0]['metric'], 'of its file',
                         *(title for title, _ in COSTS.values())], align='r')
    table.align[''] = 'l'
    for row in rows:
        table.add_row([row['name'], f'{row["value"]:.4f}', _shown(row['file'], 1, '.4f'),
                       *(_shown(row[key], unit, '.2f') for key, (_, unit) in COSTS.items())])
    return table.get_string()


def _shown(value: float | None, unit: float, style: str) -> str:
    return '' if value is None else format(value / unit, style)


def write_runs(documents: Documents, folder: Path, metric: str | None = None) -> tuple[str, Path]:
    """Write the page of several runs, and its JSON document.

    Args:
        documents: of the reports, by name of the run.
        folder: where.
        metric: see `run_rows`.

    Returns:
        The table, and the page.
    """
    rows = run_rows(documents, metric)
    charts = {}
    for key, (title, unit) in COSTS.items():
        points = [(row['name'], row[key] / unit, row['value'] if row['file'] is None
                   else row['file']) for row in rows if row[key] is not None]
        if len(points) == len(rows):
            charts[title] = Markup(pareto_chart(points, title, rows[0]['metric']))
    environment = Environment(loader=PackageLoader('razor_ext.report'), undefined=StrictUndefined,
                              autoescape=select_autoescape(), trim_blocks=True, lstrip_blocks=True)
    write_json(folder / DOCUMENT, rows)
    with atomic_write(folder / PAGE) as temporary:
        temporary.write_text(environment.get_template('runs.html').render(
            rows=rows, charts=charts, costs=COSTS, shown=_shown), encoding='utf-8')
    return run_table(rows), folder / PAGE
