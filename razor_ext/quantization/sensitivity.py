"""What each width of each quantized side alone does to the outputs of a model."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .allocation import Side
from .calibration import calibrate
from .convert import QuantizerHandle, float_mode, quantizer_handles
from .errors import CalibrationError


def side_of(handle: QuantizerHandle) -> Side:
    """Return the layer of a quantizer, and which side of it: 'weight' or an operand."""
    layer, _, quantizer = handle.name.rpartition('.')
    return layer, quantizer.removesuffix('_quantizer')


class WidthGrids:
    """The calibrated grid of every quantizer at every width of its limits.

    Args:
        model: after `quantize_model`, with its weights loaded.
        batches: real inputs.
        only_most: calibrate at the most bits alone.
        options: further arguments of `calibrate`.

    Attributes:
        widths: widths of each quantized side, ascending.
    """

    def __init__(self, model: nn.Module, batches: Sequence[Any], only_most: bool = False,
                 **options: Any) -> None:
        self._handles = {side_of(handle): handle for handle in quantizer_handles(model)}
        self._limits = {side: handle.bit_limits for side, handle in self._handles.items()}
        self.widths = {side: list(range(high if only_most else low, high + 1))
                       for side, (low, high) in self._limits.items()}
        self._states: dict[Side, dict[int, dict[str, Tensor]]] = {
            side: {} for side in self._handles}
        every = sorted({width for widths in self.widths.values() for width in widths})
        try:
            for width in every:
                for side, handle in self._handles.items():
                    low, high = self._limits[side]
                    # A range is chosen for the most bits of the limits.
                    handle.quantizer.bit_limits = (low, min(max(width, low), high))
                calibrate(model, batches, **options)
                for side, handle in self._handles.items():
                    if width in self.widths[side]:
                        self._states[side][width] = {
                            key: value.clone()
                            for key, value in handle.quantizer.state_dict().items()}
        finally:
            for side, handle in self._handles.items():
                handle.quantizer.bit_limits = self._limits[side]

    def place(self, bits: Mapping[Side, int]) -> None:
        """Put the grids of some widths in place and bind the step sizes to them."""
        for side, width in bits.items():
            quantizer = self._handles[side].quantizer
            quantizer.load_state_dict(self._states[side][width])
            quantizer.fix_bits_(width)

    @contextmanager
    def alone(self, side: Side, width: int) -> Iterator[None]:
        """Quantize one side alone inside the block."""
        enabled = {other: handle.quantizer.enabled for other, handle in self._handles.items()}
        try:
            for other, handle in self._handles.items():
                handle.quantizer.enabled = other == side
            self.place({side: width})
            yield
        finally:
            for other, handle in self._handles.items():
                handle.quantizer.enabled = enabled[other]


def output_error(outputs: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the squared error of outputs over the spread of the expected ones, summed up.

    Args:
        outputs: tensors of any shape.
        expected: the same number of tensors of the same shapes.

    Example:
        >>> output_error([torch.tensor([1., 4.])], [torch.tensor([1., 3.])])
        0.5
    """
    total = 0.0
    for found, right in zip(outputs, expected):
        right = right.detach().double()
        spread = (right - right.mean()).square().sum()
        total += float((found.detach().double() - right).square().sum()
                       / spread.clamp(min=torch.finfo(torch.float32).tiny))
    return total


@torch.no_grad()
def measure_sensitivity(model: nn.Module, grids: WidthGrids, batches: Sequence[Any],
                        run: Callable[[nn.Module, Any], Sequence[Tensor]],
                        expected: Sequence[Sequence[Tensor]] | None = None,
                        tell: Callable[[int, int], None] | None = None,
                        ) -> dict[Side, dict[int, float]]:
    """Measure what each width of each quantized side alone adds to the error of the outputs.

    Args:
        model: of the grids.
        grids: what can be chosen.
        batches: inputs.
        run: returns the outputs of a model for one batch.
        expected: outputs to come to, for each batch; None for the model's own without quantization.
        tell: called with the number of sides that are done, and of all.

    Returns:
        Mean over the batches of `output_error` less that of the float model, at least 0, by side
        and width. It never falls where bits are taken away: what a sample says to the contrary is
        chance.

    Raises:
        CalibrationError: there is no batch, or the error is not finite.
    """
    if not batches:
        raise CalibrationError('there is no batch to measure the sensitivity on')
    training = model.training
    model.eval()
    try:
        return _measure(model, grids, batches, run, expected, tell)
    finally:
        model.train(training)


def _measure(model: nn.Module, grids: WidthGrids, batches: Sequence[Any], run: Callable,
             expected: Sequence[Sequence[Tensor]] | None, tell: Callable | None
             ) -> dict[Side, dict[int, float]]:
    with float_mode(model):
        plain = [run(model, batch) for batch in batches]
    wanted = plain if expected is None else expected
    base = sum(map(output_error, plain, wanted))
    losses: dict[Side, dict[int, float]] = {}
    for number, (side, widths) in enumerate(grids.widths.items(), 1):
        found, least = {}, 0.0
        for width in reversed(widths):
            with grids.alone(side, width):
                error = sum(output_error(run(model, batch), right)
                            for batch, right in zip(batches, wanted))
            if error != error or error == float('inf'):
                raise CalibrationError(f'{".".join(side)} at {width} bits gives outputs that are '
                                       'not finite; leave the layer float by float_layers')
            found[width] = least = max((error - base) / len(batches), least)
        losses[side] = found
        if tell is not None:
            tell(number, len(grids.widths))
    return losses
