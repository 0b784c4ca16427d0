"""The content of report.json."""
from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime
import torch
from torch import nn

from razor_ext.quantization import count_costs, summarize_costs

from .counts import count_onnx, count_torch
from .evaluate import as_deployed, evaluate, evaluate_file
from .integers.quantized import QuantizedExport
from .latency.measure import measure
from .options import DeployOptions
from .parity import OutputParity, check_parity
from .session import input_feed
from .steps import Result, Source


def collect_figures(source: Source, result: Result, options: DeployOptions) -> dict:
    """Count, compare, test and time what was deployed.

    Args:
        source: The model.
        result: Its files.
        options: Options of the deployment.

    Returns:
        The content of report.json.
    """
    conversion, reference, batch = source.conversion, source.reference, source.inputs[0]
    files = dict(result.files)
    if options.parent:
        files['parent'] = Path(options.parent)
    return {
        'model': {'config': str(conversion.model_cfg.filename),
                  'checkpoint': conversion.checkpoint},
        'deploy_config': str(conversion.deploy_cfg.filename),
        'images': source.images,
        'torch': count_torch(reference, lambda: reference(batch, None, mode='tensor')),
        **{name: count_onnx(path, input_feed(path, batch[:1])) for name, path in files.items()},
        'compared_with': result.compared_with,
        'parity': as_dicts(result.parity),
        'selection': result.selection and result.selection.as_dict(),
        'backend_parity': as_dicts(result.backend_parity),
        'error_to_float': {
            name: as_dicts(check_parity(reference, path, source.inputs, result.run))
            for name, path in files.items() if result.quantized and name in ('onnx', 'static')},
        'quantization': describe_quantization(result.quantized, batch, options),
        'accuracy': measure_accuracy(source, result) if options.test else {},
        'latency': measure(files, batch, options.rounds) if conversion.backend.timed else {},
        'environment': describe_environment()}


def as_dicts(parities: Sequence[OutputParity]) -> list[dict]:
    """Rows for a JSON file."""
    return [parity.as_dict() for parity in parities]


def describe_quantization(quantized: QuantizedExport | None, batch: torch.Tensor,
                          options: DeployOptions) -> Mapping | None:
    """Figures of a graph of integers, bit operations included."""
    if quantized is None:
        return None
    return {**quantized.as_dict(), 'integer_threshold': options.integer_threshold,
            **bit_operations(quantized.reference, batch)}


def measure_accuracy(source: Source, result: Result) -> dict[str, dict[str, float]]:
    """Metrics by what was tested; torch predicts in a single pass as the files do."""
    conversion = source.conversion
    config = conversion.model_cfg
    found = {'torch': evaluate(as_deployed(source.reference), config)}
    if result.quantized:
        found['fake_quantization'] = evaluate(as_deployed(result.quantized.reference), config)
    tested = dict(result.files)
    if conversion.backend.has_own_file and result.backend_files:
        tested[conversion.backend.name] = Path(result.backend_files[0])
    return {**found, **{name: evaluate_file(conversion.deploy_cfg, config, path)
                        for name, path in tested.items()}}


def bit_operations(model: nn.Module, batch: torch.Tensor) -> dict[str, float]:
    """Bit operations of a quantized torch model, and their share of the float model."""
    inputs = {'inputs': batch[:1], 'data_samples': None, 'mode': 'tensor'}
    summary = summarize_costs(count_costs(model, inputs))
    return {key: summary[key] for key in ('bops', 'relative_bops')}


def describe_environment() -> dict[str, str]:
    """What the figures were measured with."""
    return {'python': platform.python_version(), 'torch': torch.__version__,
            'onnxruntime': onnxruntime.__version__, 'machine': platform.machine()}
