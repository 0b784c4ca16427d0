"""The figures at the end of a deployment, and their table."""
from __future__ import annotations

import os
import platform
from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
import torch
from prettytable import PrettyTable
from torch import nn

from razor_ext.quantization import count_costs, summarize_costs

from .errors import DeployError
from .latency import Spread, speedups, time_onnx

THREAD_COUNTS = (1, 0)


def measure(files: Mapping[str, str | os.PathLike], batch: torch.Tensor,
            rounds: int) -> dict[str, dict]:
    """Time files in turns, on one thread and on all.

    Args:
        files: Name and ONNX file; the first one, `onnx`, is what is deployed.
        batch: Input of all of them.
        rounds: Turns; 0 measures nothing.

    Returns:
        Per number of threads: ``ms`` of each file and ``speedup`` of `onnx` over each other one,
        as minimum, median and maximum.
    """
    if not rounds:
        return {}
    feed = input_feed(files['onnx'], batch)
    table = {}
    for threads in THREAD_COUNTS:
        seconds = time_onnx(files, threads, rounds, feed=feed)
        ratios = {name: speedups(seconds, name)['onnx'].as_dict()
                  for name in files if name != 'onnx'}
        table[str(threads or os.cpu_count())] = {
            'ms': {name: Spread.of(values).scaled(1e3).as_dict()
                   for name, values in seconds.items()},
            'speedup': ratios}
    return table


def input_feed(path: str | os.PathLike, batch: torch.Tensor) -> dict[str, np.ndarray]:
    """A batch under the name of a file's input."""
    return {onnx.load(os.fspath(path)).graph.input[0].name: batch.cpu().numpy()}


def require_faster(latency: Mapping[str, Mapping]) -> None:
    """Refuse a result that is slower than its parent on one thread.

    The parent is the file given by the user, else the float file of the same structure.

    Raises:
        DeployError: If the median of the speed-ups is below 1.
    """
    ratios = latency.get('1', {}).get('speedup', {})
    for name in ('parent', 'float'):
        if name in ratios:
            ratio = Spread(**ratios[name])
            if ratio.median < 1:
                raise DeployError(
                    f'the deployed file is slower than its {name}: speed-up {ratio:.2f} (min / '
                    'median / max) on one thread; nothing was written. Choose other widths or '
                    'bits (tools/analysis/divisor_sweep.py), or accept it with --force')
            return


def bit_operations(model: nn.Module, batch: torch.Tensor) -> dict[str, float]:
    """Bit operations of a quantized torch model, and their share of the float model."""
    inputs = {'inputs': batch[:1], 'data_samples': None, 'mode': 'tensor'}
    summary = summarize_costs(count_costs(model, inputs))
    return {key: summary[key] for key in ('bops', 'relative_bops')}


def describe_environment() -> dict[str, str]:
    """What the figures were measured with."""
    return {'python': platform.python_version(), 'torch': torch.__version__,
            'onnxruntime': onnxruntime.__version__, 'machine': platform.machine()}


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
    rows = figures['integer_layers']
    on_integers = figures['operators'].get('quantized', len(rows))
    add('layers on integers / in float', f'{on_integers} / {len(figures["float_layers"])}')
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
    beside = {'fake_quantization': 'fake quantization in torch', 'openvino': "OpenVINO's file",
              'ncnn': "ncnn's files"}
    metrics = [name for name, value in accuracy.get('torch', {}).items() if value != -1]
    for metric in metrics:
        table.add_row([metric, *(f'{accuracy[name][metric]:.4f}' if name in accuracy else ''
                                 for name in columns)])
    for name, words in beside.items():
        for metric in metrics[:1] if name in accuracy else ():
            table.add_row([f'{metric} of {words}', *[''] * (len(columns) - 1),
                           f'{accuracy[name][metric]:.4f}'])
