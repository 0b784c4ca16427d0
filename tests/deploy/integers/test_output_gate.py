"""Outputs of a graph of integers are compared with fake quantization, on the calibration inputs."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from razor_ext.deploy.errors import ParityError
from razor_ext.deploy.parity import compare, require_integers
from razor_ext.deploy.report import format_report

from ..toy_classifier import ToyDifference, deploy_toy, save_toy


@pytest.mark.smoke
def test_the_relative_l2_error_is_over_all_inputs() -> None:
    reference = [[np.array([3.0, 0.0])], [np.array([0.0, 4.0])]]
    exported = [[np.array([3.0, 0.3])], [np.array([0.4, 4.0])]]
    (row,) = compare(['out'], reference, exported)
    assert row.relative_l2 == pytest.approx(0.1)
    (zero,) = compare(['out'], [[np.zeros(2)]], [[np.array([0.0, 0.2])]])
    assert zero.relative_l2 == pytest.approx(0.2)
    require_integers([row, zero], 0.21)
    with pytest.raises(ParityError, match=r"'out' .* 0\.1 of its norm .*--integer-threshold 0\.05"):
        require_integers([row], 0.05)


def test_integers_that_give_other_outputs_are_refused(tmp_path: Path) -> None:
    """Every layer agrees to a step; the grids of the tensors between them do the harm."""
    save_toy(tmp_path, ToyDifference)
    out = tmp_path / 'out'
    options = dict(kind=ToyDifference, quant=str(tmp_path / 'quant.json'))
    with pytest.raises(ParityError, match="'probabilities' of the integers differs from fake"):
        deploy_toy(tmp_path, out, **options)
    assert not list(out.iterdir())
    report = deploy_toy(tmp_path, out, integer_threshold=2, **options)
    figures = json.loads((out / 'report.json').read_text())['quantization']
    assert figures['integer_threshold'] == 2
    (row,) = figures['parity_on_calibration']
    assert row['name'] == 'probabilities' and row['relative_l2'] > 0.35
    layers = figures['integer_layers']
    assert max(max(layer['integer'], layer['torch']) for layer in layers) <= 1.001
    assert 'probabilities: relative L2 to it, on calibration' in format_report(report)
