"""The table at the end of a deployment."""
from __future__ import annotations

from collections.abc import Mapping

from prettytable import PrettyTable

from .backends import find_backend
from .latency.timing import Spread

#: What was tested besides files.
WORDS = {'fake_quantization': 'fake quantization in torch'}


def format_report(report: Mapping) -> str:
    """Lay out a report as a table."""
    columns = ['torch', *(name for name in ('parent', 'float', 'static', 'onnx') if name in report)]
    table = PrettyTable(['', *columns], align='r')
    counts = [report[name] for name in columns]
    table.add_row(['parameters', *(f'{count["params"]:,}' for count in counts)])
    table.add_row(['MACs (M)', *(f'{count["macs"] / 1e6:.1f}' for count in counts)])
    table.add_row(['file (MB)', *(f'{count["bytes"] / 1e6:.2f}' if 'bytes' in count else ''
                                  for count in counts)])
    for threads, timing in report['latency'].items():
        table.add_row([f'latency, {threads} thread(s) (ms)', *(
            f'{Spread(**timing["ms"][name]):.2f}' if name in timing['ms'] else ''
            for name in columns)])
        for name, ratio in timing['speedup'].items():
            table.add_row([f'faster than {name}, {threads} thread(s)', *[''] * (len(columns) - 1),
                           f'{Spread(**ratio):.2f}'])
    exact = 'float' if 'float' in report else 'onnx'
    for row in report['parity']:
        table.add_row([f'{row["name"]}: largest / relative error', *(
            f'{row["max_abs"]:.1e} / {row["max_rel"]:.1e}' if name == exact else ''
            for name in columns)])
    if report['selection']:
        table.add_row(['detections compared / other than torch selects',
                       *[''] * (len(columns) - 1), '{compared} / {differing}'.format(
                           **report['selection'])])
    for row in report['backend_parity']:
        table.add_row([f'{row["name"]}: error of the backend file', *[''] * (len(columns) - 1),
                       f'{row["max_abs"]:.1e} / {row["max_rel"]:.1e}'])
    errors = {(row['name'], name): f'{row["max_abs"]:.1e} / {row["max_rel"]:.1e}'
              for name, rows in report['error_to_float'].items() for row in rows}
    for output in dict.fromkeys(output for output, _ in errors):
        table.add_row([f'{output}: error to float',
                       *(errors.get((output, name), '') for name in columns)])
    if report['quantization']:
        _add_quantization(table, report['quantization'], len(columns))
    _add_accuracy(table, report.get('accuracy') or {}, columns)
    table.align[''] = 'l'
    return table.get_string() + '\nspreads are minimum / median / maximum'


def _add_quantization(table: PrettyTable, figures: Mapping, columns: int) -> None:
    def add(name: str, value: str) -> None:
        table.add_row([name, *[''] * (columns - 1), value])

    for row in figures['parity_with_fake_quantization']:
        add(f'{row["name"]}: error to fake quantization',
            f'{row["max_abs"]:.1e} / {row["max_rel"]:.1e}')
    for row in figures['parity_on_calibration']:
        add(f'{row["name"]}: relative L2 to it, on calibration', f'{row["relative_l2"]:.1e}')
    rows = figures['integer_layers']
    on_integers = figures['operators'].get('quantized', len(rows))
    add('layers on integers / in float', f'{on_integers} / {len(figures["float_layers"])}')
    if figures.get('float_operators'):
        add('in float between layers', ', '.join(figures['float_operators']))
    if figures['packed_layers']:
        add('layers with weights two to a byte', str(len(figures['packed_layers'])))
    if rows:
        add('worst layer, steps to integers / to torch',
            f'{max(row["integer"] for row in rows):.2f} / '
            f'{max(row["torch"] or 0 for row in rows):.2f}')
    add('bit operations (G)', f'{figures["bops"] / 1e9:.2f}')
    add('bit operations, share of float', f'{figures["relative_bops"]:.2%}')


def _add_accuracy(table: PrettyTable, accuracy: Mapping[str, Mapping], columns: list[str]) -> None:
    """Rows of every metric; COCO's -1 says that there is nothing of that size."""
    metrics = [name for name, value in accuracy.get('torch', {}).items() if value != -1]
    for metric in metrics:
        table.add_row([metric, *(f'{accuracy[name][metric]:.4f}' if name in accuracy else ''
                                 for name in columns)])
    beside = [name for name in accuracy if name not in columns]
    for name in beside if metrics else ():
        words = WORDS.get(name) or f"{find_backend(name).title}'s file"
        table.add_row([f'{metrics[0]} of {words}', *[''] * (len(columns) - 1),
                       f'{accuracy[name][metrics[0]]:.4f}'])
