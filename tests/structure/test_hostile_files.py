"""Files of others: what would cost memory or a long message is refused first."""
from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.latency.table import LatencyTable, hardware_id
from razor_ext.graph import SliceError, analyze, slice_units
from razor_ext.structure import StructureError, load_structure
from razor_ext.structure.fix_subnet import check_structure
from razor_ext.structure.rebuild import load_sliced
from razor_ext.structure.unit_file import AnalysedUnits, load_units, save_units

LONG = 'x' * 2_000_000


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1))


def message(error: type[Exception], function, *arguments) -> str:
    with pytest.raises(error) as caught:
        function(*arguments)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


@pytest.mark.parametrize('content', [{LONG: -1}, {'a': LONG}, {'a': [1] * 500_000}])
def test_a_structure_makes_no_long_message(tmp_path: Path, content: dict) -> None:
    path = tmp_path / 'fix_subnet.json'
    path.write_text(json.dumps(content))
    assert 'fix_subnet.json' in message(StructureError, load_structure, path)


def test_a_long_unit_is_compared_in_no_time() -> None:
    message(StructureError, check_structure, {LONG: 1}, {'conv1_(0, 8)_8': 8})
    message(StructureError, check_structure, {'a': 10 ** 900}, {'a': 8})


def test_weights_of_long_names_make_no_long_message(tmp_path: Path) -> None:
    torch.save({'state_dict': {**net().state_dict(), 'y' * 20_000: torch.zeros(1)}},
               tmp_path / 'a.pth')
    assert 'a.pth' in message(ValueError, load_sliced, net(), tmp_path / 'a.pth')


@pytest.fixture(scope='module')
def units() -> tuple:
    return tuple(analyze(net(), torch.randn(1, 3, 8, 8)).units)


@pytest.mark.parametrize(('key', 'value'), [
    ('shape', [10 ** 9, 10 ** 9]), ('shape', [8, -1]), ('runs', [[0, 1, 10 ** 12]]),
    ('runs', [[0, 10 ** 30, 8]]), ('runs', [[7, -2, 8]]), ('runs', LONG), ('role', LONG),
    ('dim', LONG)])
def test_units_are_bounded(tmp_path: Path, units: tuple, key: str, value: object) -> None:
    path = tmp_path / 'units.json'
    save_units(path, AnalysedUnits(units, 'a' * 64))
    content = json.loads(path.read_text())
    if key == 'shape':  # as a hostile writer would, with everything else to match
        content['units'][0].update(num_channels=value[0])
        content['units'][0]['members'][0]['runs'] = [[0, 1, abs(value[0] * value[1])]]
    content['units'][0]['members'][0][key] = value
    path.write_text(json.dumps(content))
    assert 'units.json' in message(StructureError, load_units, path)


@pytest.mark.parametrize('content', [{'dense': 3}, {'keep': 'conv'}, {'keep': [LONG]}])
def test_the_head_of_units_is_checked(tmp_path: Path, units: tuple, content: dict) -> None:
    path = tmp_path / 'units.json'
    save_units(path, AnalysedUnits(units, 'a' * 64))
    path.write_text(json.dumps({**json.loads(path.read_text()), **content}))
    if content == {'keep': [LONG]}:  # is a name
        assert load_units(path).keep == (LONG, )
    else:
        message(StructureError, load_units, path)


def test_a_dimension_that_is_not_there_is_an_error(units: tuple) -> None:
    wrong = copy.deepcopy(units)
    object.__setattr__(wrong[0].members[0], 'dim', 9)
    keep = {wrong[0].name: torch.arange(wrong[0].num_channels) < 3}
    assert 'too small' in message(SliceError, slice_units, net(), wrong, keep)


@pytest.mark.parametrize('times', [dict(min='1', median=1, max=1), dict(min=-1, median=1, max=1),
                                   dict(min=None, median=1, max=LONG)])
def test_a_latency_table_holds_times(tmp_path: Path, times: dict) -> None:
    path = tmp_path / f'{hardware_id()}.json'
    path.write_text(json.dumps({'3>8 k3x3 at 32': times}))
    assert path.name in message(DeployError, LatencyTable, tmp_path)
