"""The table of a comparison over seeds, and the file of its figures."""
from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from prettytable import PrettyTable

from razor_ext.engine import write_json

Rows = Mapping[str, Sequence[Mapping[str, float]]]


def format_rows(rows: Rows, formats: Mapping[str, str], spread: str) -> str:
    """Lay out the mean of every figure over the seeds, and the least and most of one.

    Args:
        rows: figures of every seed by method.
        formats: format of each figure, in the order of the columns.
        spread: figure whose least and most are shown.

    Example:
        >>> print(format_rows({'dense': [dict(AP=.5), dict(AP=.7)]}, dict(AP='.2f'), 'AP'))
        +-----------+------+--------+--------+
        | method    |   AP | AP min | AP max |
        +-----------+------+--------+--------+
        | dense (2) | 0.60 |   0.50 |   0.70 |
        +-----------+------+--------+--------+
    """
    columns = [part for key in formats for part in (
        (key, f'{key} min', f'{key} max') if key == spread else (key,))]
    table = PrettyTable(['method', *columns], align='r')
    table.align['method'] = 'l'
    for name, results in rows.items():
        cells = []
        for key, style in formats.items():
            values = [row[key] for row in results]
            shown = [statistics.mean(values), min(values), max(values)]
            cells += [format(value, style) for value in shown[:3 if key == spread else 1]]
        table.add_row([f'{name} ({len(results)})', *cells])
    return table.get_string()


def show_rows(rows: Rows, formats: Mapping[str, str], spread: str, work_dir: str | Path) -> None:
    """Print the table, and write the figures to `figures.json` in a folder; see `format_rows`."""
    write_json(Path(work_dir) / 'figures.json', rows)
    print(format_rows(rows, formats, spread), flush=True)
