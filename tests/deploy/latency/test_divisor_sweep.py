"""Measuring a structure at several divisors."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.latency.divisor_sweep import (
    best_row,
    draw,
    round_structure,
    sweep,
    unit_width,
)

from ..deploy_scene import SUBNET, dense_config, pruned_config


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 32))
def test_rounded_structures_are_valid(whole, kept, divisor):
    name = f'a.conv_(0, {whole})_{whole}'
    kept = min(kept, whole)
    rounded = round_structure({name: kept}, divisor)[name]
    assert 1 <= rounded <= whole
    assert rounded % divisor == 0 or rounded == whole
    assert abs(rounded - kept) < divisor


def test_unit_names():
    assert unit_width('backbone.stem.0.conv_(0, 16)_16') == 16
    with pytest.raises(DeployError, match='backbone'):
        unit_width('backbone.conv')


def row(mode: str, bits: int, divisor: int, milliseconds: float, macs: int = 100) -> dict:
    return {'mode': mode, 'bits': bits, 'divisor': divisor, 'macs': macs,
            'ms': {'min': milliseconds, 'median': milliseconds, 'max': 2 * milliseconds}}


def test_best_row_ignores_padding_and_draws(tmp_path):
    rows = [row('native', 8, 1, 4.0), row('native', 8, 8, 3.0), row('padded', 8, 16, 3.0, 400),
            row('native', 32, 8, 1.0)]
    assert best_row(rows, 8)['divisor'] == 8
    draw(rows, tmp_path / 'a.png')
    assert (tmp_path / 'a.png').read_bytes().startswith(b'\x89PNG')


def test_requests_that_make_no_sense(deploy_cfg, tmp_path):
    with pytest.raises(DeployError, match='fix_subnet'):
        sweep(deploy_cfg, dense_config(), [1], tmp_path)
    with pytest.raises(DeployError, match='positive'):
        sweep(deploy_cfg, pruned_config(), [0], tmp_path)


@pytest.mark.slow
def test_sweep_of_a_pruned_model(deploy_cfg, tmp_path):
    rows = sweep(deploy_cfg, pruned_config(SUBNET), [1, 4], tmp_path, rounds=2)
    assert {(row['mode'], row['divisor'], row['bits']) for row in rows} == {
        ('native', 1, 32), ('native', 1, 8), ('native', 4, 32), ('native', 4, 8),
        ('padded', 1, 32), ('padded', 1, 8), ('padded', 4, 32)}
    macs = {(row['mode'], row['divisor']): row['macs'] for row in rows if row['bits'] == 32}
    assert macs['padded', 4] > macs['padded', 1] == macs['native', 1]
    assert all(row['ms']['min'] > 0 for row in rows)
