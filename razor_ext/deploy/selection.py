"""Files that end in a selection: the boxes that non-maximum suppression leaves.

A selection is no continuous function of the input: where two scores are equal but for rounding,
another box may be left. Such a file is compared by what it selects from, which are tensors inside
it, and its selection with that of torch from these tensors.

A task whose files are such has a method `select(model, inner, batch)`: of a rewritten torch model,
the tensors that a file selects from and an input, it returns detections [1, n, 5], corners and
score, and labels [1, n]. Its rewritten model returns the tensors behind the selection.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from mmdeploy.codebase.base import BaseTask
from scipy.optimize import linear_sum_assignment
from torch import nn

from .errors import DeployError, ParityError
from .onnx_graph import keep_outputs
from .parity import flatten_outputs, run_torch
from .rewritten import RewrittenForward
from .session import run_onnx

#: Largest difference of one detection: of its score, and of its corners over the image's side.
TOLERANCE = 1e-3
#: Largest share of detections that may differ: of pairs that overlap by just the threshold, or of
#: just the score that is the last.
SHARE = 0.01


@dataclass(frozen=True)
class Selection:
    """Agreement of the detections of a file with torch's selection from the file's own tensors.

    Args:
        compared: Detections of both, the larger number of each input.
        differing: Those without a partner of the same class, score and corners.
    """

    compared: int
    differing: int

    @property
    def allowed(self) -> bool:
        """Whether so few differ that rounding explains it."""
        return self.differing <= max(1., SHARE * self.compared)

    def as_dict(self) -> dict[str, int]:
        """All figures, for a JSON file."""
        return asdict(self)


@contextmanager
def lowest_index_first() -> Iterator[None]:
    """Let torch's `topk` choose among equal values as ONNX defines its own: by the lower index.

    Scores that leave 8-bit layers are equal by the dozen, and torch leaves the choice open.
    """
    owners: list[Any] = [torch, torch.Tensor]
    before = [owner.topk for owner in owners]
    try:
        for owner in owners:
            owner.topk = _stable_topk
        yield
    finally:
        for owner, function in zip(owners, before):
            owner.topk = function


def _stable_topk(values: torch.Tensor, k: Any, dim: int = -1, largest: bool = True,
                 sorted: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    found, indices = torch.sort(values, dim=dim, descending=largest, stable=True)
    count = min(int(k), values.shape[dim])
    return torch.return_types.topk(
        (found.narrow(dim, 0, count), indices.narrow(dim, 0, count)))


def hide_inner(onnx_file: Path, model: nn.Module, batch: torch.Tensor,
               named: Sequence[str]) -> tuple[str, ...]:
    """Take what a file selects from out of its outputs; it stays within the file.

    Args:
        onnx_file: The export, which is written again.
        model: The torch model, whose tensor mode returns what is selected from.
        batch: An input.
        named: The outputs that the deploy config names.

    Returns:
        The names of these tensors.

    Raises:
        DeployError: If the deploy config names fewer or more outputs than there are.
    """
    graph = onnx.load(onnx_file)
    outputs = [value.name for value in graph.graph.output]
    count = len(outputs) - len(run_torch(model, [batch])[0])
    if outputs[:count] != list(named):
        raise DeployError(
            f'a {type(model).__name__} of this config predicts {count} tensors (dets, labels'
            f'{", masks" if count == 3 else ""}), but output_names of the deploy config are '
            f'{list(named)}: name all of them')
    onnx.save(keep_outputs(graph, count), onnx_file)
    return tuple(outputs[count:])


def check_selection(task: BaseTask, onnx_file: Path, model: nn.Module,
                    inputs: Sequence[torch.Tensor], run: RewrittenForward) -> Selection:
    """Compare what a file selects with what torch selects from the file's own tensors.

    Args:
        task: The task, which knows how to select.
        onnx_file: The file.
        model: The torch model.
        inputs: What to run it on.
        run: The rewritten model.

    Raises:
        ParityError: If more detections differ than rounding explains.
    """
    _, found = run_onnx(onnx_file, inputs)
    _, inner = run_onnx(onnx_file, inputs, run.inner)
    compared = differing = 0
    with run.patched(model) as patched, lowest_index_first():
        for batch, tensors, got in zip(inputs, inner, found):
            wanted = flatten_outputs(task.select(
                patched, [torch.from_numpy(array) for array in tensors], batch))
            one = compare_detections(wanted, got, max(batch.shape[-2:]))
            compared, differing = compared + one.compared, differing + one.differing
    selection = Selection(compared, differing)
    require_selection(selection)
    return selection


def compare_detections(wanted: Sequence[np.ndarray], got: Sequence[np.ndarray],
                       side: float) -> Selection:
    """Compare the detections of one image, whatever their order.

    Args:
        wanted: Detections [1, n, 5] (corners and score) and labels [1, n]; further outputs of each
            detection, such as masks, are left to the comparison of the head.
        got: The same of the file.
        side: The longer side of the image, in pixels.
    """
    (left, names), (right, others) = (_real(*found[:2]) for found in (wanted, got))
    compared = max(len(left), len(right))
    if not len(left) or not len(right):
        return Selection(compared, compared)
    scale = np.array([side] * 4 + [1.])
    distance = np.abs((left[:, None] - right[None]) / scale).max(-1)
    fits = (distance <= TOLERANCE) & (names[:, None] == others[None])
    rows, columns = linear_sum_assignment(~fits)
    return Selection(compared, compared - int(fits[rows, columns].sum()))


def require_selection(selection: Selection) -> None:
    """Raise unless a file selects what torch does.

    Raises:
        ParityError: Saying how many detections differ.
    """
    if not selection.allowed:
        raise ParityError(
            f'{selection.differing} of {selection.compared} detections of the file are not those '
            'that torch selects from the same scores and boxes; nothing was written')


def _real(detections: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out the rows that fill up a file's output: a score of 0."""
    rows = detections[0]
    kept = rows[:, 4] > 0
    return rows[kept].astype(np.float64), labels[0][kept]
