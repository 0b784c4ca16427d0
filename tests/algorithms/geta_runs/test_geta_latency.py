"""GETA with a target of estimated latency."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mmrazor.registry import MODELS
from tiny_geta import SHAPE, geta, geta_runner

from razor_ext.pruning import Chooser
from razor_ext.pruning.latency import latency_cost, model_shapes
from razor_ext.structure.latency import FLOAT, INTEGER, LatencyFileError


@pytest.fixture(scope='module')
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Latency file of the tiny RTMPose on a machine whose time follows the output channels."""
    model = MODELS.build(geta())
    kinds = []
    for shape in {shape.kind: shape for shape in model_shapes(
            model.architecture, model.mutator).values()}.values():
        outputs = [1, 2048]
        for bits in (FLOAT, INTEGER):
            row = [bits * count / 1e3 for count in outputs]
            kinds.append({'kind': shape.kind, 'bits': bits,
                          'inputs': [] if shape.depthwise else [1, 2048], 'outputs': outputs,
                          'ms': row if shape.depthwise else [row, row]})
    path = tmp_path_factory.mktemp('latency') / 'latency.json'
    path.write_text(json.dumps({'hardware': 'a', 'kinds': kinds}))
    return path


@pytest.mark.slow
def test_a_run_meets_the_target(tmp_path: Path, dense: Path, table: Path) -> None:
    ratio = 0.15
    run = geta_runner(tmp_path, geta(
        dense, target=dict(kind='latency', ratio=ratio, table=str(table)),
        mutator=dict(type='GETAMutator', demo_input=SHAPE, divisor=2)))
    model = run.model
    cost, reference = latency_cost(model.architecture, model.mutator, table, model.most_bits())
    # a fourth of the time on integers, all layers being quantized
    assert cost({}) == pytest.approx(reference * INTEGER / FLOAT)
    run.train()
    counts = json.loads((tmp_path / 'compressed' / 'fix_subnet.json').read_text())
    assert 0.8 * ratio < cost(counts) / reference <= ratio


@pytest.mark.parametrize('quant, ratio', [(None, 0.6), (dict(
    weight_bits=(4, 8), activation_bits=(4, 8)), 0.15)], ids=['float', 'joint'])
def test_target_is_met(table: Path, quant: dict | None, ratio: float) -> None:
    model = MODELS.build(geta(quant=quant, target=dict(kind='latency', ratio=ratio,
                                                       table=str(table))))
    target, dense = model.build_target(), model.mutator.choice_template
    # a fourth of the time on integers, all layers being quantized
    assert target.cost({}) == pytest.approx(
        target.reference * (1 if quant is None else INTEGER / FLOAT))
    chooser = Chooser(list(dense), list(dense.values()), divisor=2)
    target.prepare(chooser)
    scores = np.random.default_rng(0).random(chooser.total)
    pruned = target.choose(chooser, scores, np.zeros(chooser.total, bool), 0, 1)
    assert 0.8 * ratio < target.cost(chooser.structure(pruned)) / target.reference <= ratio


def test_table_of_another_model(table: Path, tmp_path: Path) -> None:
    content = json.loads(table.read_text())
    other = tmp_path / 'other.json'
    other.write_text(json.dumps({**content, 'kinds': content['kinds'][4:]}))
    model = MODELS.build(geta(target=dict(kind='latency', ratio=.5, table=str(other))))
    with pytest.raises(LatencyFileError, match='it is of another model or input size'):
        model.build_target()
