"""Agreement of an exported model with the torch model it came from."""
from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn

from .errors import ParityError
from .session import run_onnx

#: Outputs of a torch model: per input the arrays in order, from the model and the inputs.
TorchRun = Callable[[nn.Module, Sequence[torch.Tensor]], 'list[list[np.ndarray]]']


@dataclass(frozen=True)
class OutputParity:
    """Agreement of one output over all inputs compared.

    Args:
        name: Output name in the exported graph.
        max_abs: Largest absolute difference.
        max_rel: `max_abs` over the largest absolute value of the reference.
        scale: Largest absolute value of the reference.
        relative_l2: Norm of the difference over the norm of the reference, over all inputs.
    """

    name: str
    max_abs: float
    max_rel: float
    scale: float
    relative_l2: float = 0.0

    @property
    def error(self) -> float:
        """Absolute difference up to scale 1, relative above: what a threshold applies to."""
        return self.max_abs / max(1.0, self.scale)

    def as_dict(self) -> dict[str, float | str]:
        """All figures, for a JSON file."""
        return asdict(self)


def compare(names: Sequence[str], reference: Sequence[Sequence[np.ndarray]],
            exported: Sequence[Sequence[np.ndarray]]) -> list[OutputParity]:
    """Compare two sets of outputs.

    Args:
        names: Output names.
        reference: Per input, the outputs of the reference, in the order of `names`.
        exported: The same of the exported model.

    Returns:
        One entry per output.

    Raises:
        ParityError: If number or shape of the outputs differ, or a value is not finite.
    """
    largest = {name: [0.0, 0.0] for name in names}
    squares = {name: [0.0, 0.0] for name in names}
    for wanted, got in zip(reference, exported):
        if len(wanted) != len(names) or len(got) != len(names):
            raise ParityError(f'the exported graph has outputs {list(names)}, torch returned '
                              f'{len(wanted)} tensors')
        for name, left, right in zip(names, wanted, got):
            if left.shape != right.shape:
                raise ParityError(f'output {name!r} is {right.shape} in the exported graph and '
                                  f'{left.shape} in torch')
            left = left.astype(np.float64)
            difference = float(np.abs(left - right).max())
            if not np.isfinite(difference):
                raise ParityError(f'output {name!r} holds values that are not finite')
            largest[name][0] = max(largest[name][0], difference)
            largest[name][1] = max(largest[name][1], float(np.abs(left).max()))
            squares[name][0] += float(np.square(left - right).sum())
            squares[name][1] += float(np.square(left).sum())
    return [OutputParity(name, absolute, absolute / scale if scale else absolute, scale,
                         math.sqrt(error / (size or 1.0)))
            for (name, (absolute, scale)), (error, size) in zip(largest.items(), squares.values())]


def flatten_outputs(outputs: object) -> list[np.ndarray]:
    """Tensors of a nested output, in order, as arrays."""
    if isinstance(outputs, torch.Tensor):
        return [outputs.detach().cpu().numpy()]
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    if isinstance(outputs, (list, tuple)):
        return [array for item in outputs for array in flatten_outputs(item)]
    raise ParityError(f'cannot compare an output of type {type(outputs).__name__}; '
                      "`forward(..., mode='tensor')` must return tensors")


def run_torch(model: nn.Module, inputs: Sequence[torch.Tensor]) -> list[list[np.ndarray]]:
    """Outputs of an OpenMMLab model in its ``tensor`` mode.

    Args:
        model: Model in eval mode.
        inputs: Preprocessed inputs, each with its batch dimension.

    Returns:
        Per input, the output arrays in order.
    """
    with torch.no_grad():
        return [flatten_outputs(model(batch, None, mode='tensor')) for batch in inputs]


def check_parity(model: nn.Module, onnx_file: str | os.PathLike | bytes,
                 inputs: Sequence[torch.Tensor], run: TorchRun = run_torch) -> list[OutputParity]:
    """Compare an ONNX file under ONNX Runtime with the torch model.

    Args:
        model: Torch model in eval mode.
        onnx_file: File or serialized model.
        inputs: Preprocessed batches.
        run: What runs the torch model; where it has `inner`, these tensors of the file are compared
            in place of its outputs.

    Returns:
        Agreement per output, over all batches.
    """
    names, exported = run_onnx(onnx_file, inputs, getattr(run, 'inner', ()))
    return compare(names, run(model, inputs), exported)


def require(parities: Sequence[OutputParity], threshold: float) -> None:
    """Raise unless every output agrees to `threshold`.

    Raises:
        ParityError: Naming the worst output.
    """
    worst = max(parities, key=lambda parity: parity.error)
    if worst.error > threshold:
        raise ParityError(
            f'output {worst.name!r} of the exported model differs from torch by '
            f'{worst.max_abs:.3g} (largest value {worst.scale:.3g}), more than '
            f'--parity-threshold {threshold:g} allows; nothing was written')


def require_integers(parities: Sequence[OutputParity], threshold: float) -> None:
    """Raise unless every output of a graph of integers follows fake quantization.

    Layers agree to one step each; what adds up over them are the grids of the tensors in between,
    which training did not see.

    Args:
        parities: Agreement over the calibration inputs.
        threshold: Largest relative L2 error allowed.

    Raises:
        ParityError: Naming the worst output.
    """
    worst = max(parities, key=lambda parity: parity.relative_l2)
    if worst.relative_l2 > threshold:
        raise ParityError(
            f'output {worst.name!r} of the integers differs from fake quantization by '
            f'{worst.relative_l2:.3g} of its norm over the calibration inputs, more than '
            f'--integer-threshold {threshold:g} allows: the grids of tensors between layers add '
            'up to it. Give more calibration inputs (--calib-img, --calib-dataset-cfg), train '
            'longer or with more bits for activations, or accept the file by a higher '
            '--integer-threshold; nothing was written')
