"""Model families: what is found, and what is said of a family that cannot be used."""
from __future__ import annotations

import logging
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from torch import nn

from razor_ext import check_env
from razor_ext.engine import families
from razor_ext.engine.families import BROKEN, GROUP, LOADED, PACKAGE_MISSING, Family, FamilyError

OWN = ('detection = razor_ext.detection.family:FAMILY',
       'gait = razor_ext.gait.family:FAMILY', 'pose = razor_ext.pose.family:FAMILY')


def entry_point(text: str) -> EntryPoint:
    name, _, value = text.partition(' = ')
    return EntryPoint(name, value, GROUP)


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load families from entry points, some of them of modules written here."""
    def load(*texts: str, **modules: str) -> dict[str, families.FamilyRecord]:
        for name, content in modules.items():
            (tmp_path / f'{name}.py').write_text(
                f'from razor_ext.engine.families import Family\n{content}\n')
        monkeypatch.syspath_prepend(tmp_path)
        points = [entry_point(text) for text in texts]
        monkeypatch.setattr(families, 'find_entry_points', lambda: points)
        records = families.load_families.__wrapped__()
        monkeypatch.setattr(families, 'load_families', lambda: records)
        return {record.name: record for record in records}

    return load


@pytest.mark.smoke
def test_the_families_of_this_package_are_found():
    found = {record.name: record for record in families.load_families()}
    names = ('detection', 'gait', 'pose')
    assert set(names) <= set(found)
    assert [found[name].entry_point for name in names] == list(OWN)
    assert not families.is_stale(families.find_entry_points())
    assert found['gait'].state == LOADED


def test_a_broken_family_is_named_and_the_others_go_on(load, caplog):
    with caplog.at_level(logging.WARNING, 'razor_ext'):
        found = load(
            *OWN, 'a = broken_module:FAMILY', 'b = broken_family:FAMILY', 'c = no_such_module:X',
            broken_module='raise RuntimeError("no licence")',
            broken_family='FAMILY = Family(name="b", modules=("no_such_layers", ))')
    assert {name: record.state for name, record in found.items()} == {
        'detection': LOADED, 'gait': LOADED, 'pose': LOADED, 'a': BROKEN, 'b': BROKEN, 'c': BROKEN}
    assert [family.name for family in families.families()] == [
        'detection', 'gait', 'pose']
    for text in ('a = broken_module:FAMILY', 'RuntimeError: no licence', 'no_such_layers',
                 'Repair or uninstall the distribution', 'no_such_module'):
        assert text in caplog.text
    problems = check_env.family_problems(families.load_families())
    assert len(problems) == 3 and 'a = broken_module:FAMILY' in problems[0]


def test_a_family_whose_package_is_missing_is_left_out(load, caplog):
    with caplog.at_level(logging.WARNING, 'razor_ext'):
        found = load(*OWN, 'a = needy:FAMILY',
                     needy='FAMILY = Family("a", ("no_such_package", ), ("no_such_package.x", ))')
    assert (found['a'].state, found['a'].detail) == (PACKAGE_MISSING, 'no_such_package')
    assert not caplog.records and not check_env.family_problems(families.load_families())


def test_two_families_of_one_name(load):
    with pytest.raises(FamilyError, match=(
            r"named 'gait': .*'gait = razor_ext.gait.family:FAMILY' and 'mine = second:FAMILY'")):
        load(*OWN, 'mine = second:FAMILY', second='FAMILY = Family(name="gait")')


def test_an_entry_point_that_is_no_family(load):
    with pytest.raises(FamilyError, match=r"'mine = plain:FAMILY'.* is a dict, not a razor_ext"):
        load(*OWN, 'mine = plain:FAMILY', plain='FAMILY = {}')


def test_metadata_older_than_the_source(load, caplog, monkeypatch, capsys):
    """A source tree used without installing it declares no family, and says what to run."""
    with caplog.at_level(logging.WARNING, 'razor_ext'):
        load('a = other:FAMILY', other='FAMILY = Family(name="a")')
    assert 'bash tools/setup_env.sh' in caplog.text
    monkeypatch.setenv('COLUMNS', '200')
    assert check_env.main() == 1
    assert 'older than its source' in capsys.readouterr().out


def test_entry_points_of_python_3_9(monkeypatch):
    """There they are a dict, with a distribution on two folders of the path listed twice."""
    monkeypatch.setattr(families.sys, 'version_info', (3, 9, 0))
    listed = {GROUP: [entry_point(text) for text in (OWN[1], *OWN)], 'other': []}
    monkeypatch.setattr(families.metadata, 'entry_points', lambda: listed)
    assert [f'{p.name} = {p.value}' for p in families.find_entry_points()] == list(OWN)
    monkeypatch.setattr(families.metadata, 'entry_points', dict)
    assert families.find_entry_points() == []


class Net(nn.Module):
    shape = (1, 1, 8, 8)


class Derived(Net):
    pass


@pytest.mark.parametrize(('value', 'expected'), [
    ((1, 3, 8, 8), (1, 3, 8, 8)),
    (dict(type='DefaultDemoInput'), dict(type='DefaultDemoInput')),
    (lambda model: model.shape, (1, 1, 8, 8)),
    (lambda model: None, None),
])
def test_demo_input_by_the_nearest_type(monkeypatch, value, expected):
    name = f'{__name__}.{Net.__qualname__}'
    monkeypatch.setattr(families, 'families', lambda: (
        Family(name='other'), Family(name='toy', demo_inputs={name: value})))
    assert families.find_demo_input(Derived()) == expected
    assert families.find_demo_input(nn.Linear(1, 1)) is None


def test_random_inputs_of_a_deployment():
    generator = np.random.default_rng(0)
    image = families.find_sample('PoseDetection', generator)
    frames = families.find_sample('GaitRecognition', generator)
    assert image.shape == (64, 48, 3) and image.dtype == np.uint8
    assert frames.shape == (30, 64, 64) and set(np.unique(frames)) == {0, 255}
    assert families.find_sample('Nothing', generator) is None


@pytest.mark.parametrize('package', ['razor_ext.gait', 'razor_ext.pose'])
def test_public_names_are_imported_where_they_are_used(package):
    module = __import__(package, fromlist=['__all__'])
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError, match='no attribute'):
        module.nothing  # noqa: B018
