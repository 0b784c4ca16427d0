"""Hostile and broken YAML: typed errors that name file and key, and nothing executed."""
from __future__ import annotations

import ast
import copy
import string

import pytest
import yaml
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from mmengine.config import Config

from razor_ext.gait.convert import SettingError, convert_settings, read_settings
from razor_ext.gait.convert.config_file import config_text

from .gait_trees import run_tool
from .official_yamls import OFFICIAL, settings_of
from .test_opengait_yaml import changed, converted

EXECUTES = '''__import__('pathlib').Path('ran').write_text('x')'''
HOSTILE_KEY = f"x': {EXECUTES}, 'y"
#: Where a value went into the config unescaped.
PLACES = ['scheduler_cfg.milestones', 'optimizer_cfg.lr', 'model_cfg.bin_num',
          'trainer_cfg.total_iter', 'data_cfg.dataset_root', 'trainer_cfg.restore_hint']


def _texts(content):
    """Every text of a config."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, (dict, list, tuple)):
        for inner in content.values() if isinstance(content, dict) else content:
            yield from _texts(inner)


@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('value', [
    {HOSTILE_KEY: 1}, [{HOSTILE_KEY: 1}], f"'+{EXECUTES}+'", f'"+{EXECUTES}+"', f"\\'+{EXECUTES}#",
    '{{$X:"+' + EXECUTES + '+"}}.pt', '{{ fileDirname }}.pt', '{{_base_.model}}', 'a\nimport os',
    '\u2028import os', f'"""\n{EXECUTES}\n"""', 10 ** 5000, float('nan'), float('inf'), True,
    b'bytes', {'a', 'b'}], ids=lambda value: type(value).__name__)
def test_nothing_is_executed(place, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = changed((place, value))
    try:
        cfg = converted(content, tmp_path)  # what is written is read, as a user would
    except SettingError as error:
        assert 20 < len(str(error)) < 900
    else:  # a text that is one stays one
        assert value in list(_texts(cfg.to_dict()))
    assert not (tmp_path / 'ran').exists()


def test_the_reported_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / 'evil.yaml'
    for section, key in (('scheduler_cfg', 'milestones'), ('optimizer_cfg', 'lr'),
                         ('model_cfg', 'bin_num'), ('trainer_cfg', 'total_iter')):
        content = settings_of('gaitbase_da_casiab')
        content[section][key] = {HOSTILE_KEY: 1}
        source.write_text(yaml.safe_dump(content))
        with pytest.raises(SystemExit, match=rf'error: .*evil\.yaml: settings\.{section}\.{key}='):
            run_tool(monkeypatch, 'convert_config.py', source, tmp_path / 'ours.py')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['evil.yaml']


@pytest.mark.parametrize(('content', 'message'), [
    (b'', 'must hold a mapping'), (b'3', 'must hold a mapping'), (b'- 1', 'must hold a mapping'),
    (b'data_cfg: \xe9t\xe9', r'no UTF-8: byte 0xe9 at 10'), (b'a: [1', 'no YAML'),
    (b'a: 1\na: 2', "the key 'a' stands twice"), (b'\x00', 'no YAML'),
    (b'a: &x [*x]', 'aliases deeper'), (b'a: ' + b'[' * 5000, 'nested deeper than 20'),
    (b'a: ' + b'[' * 90000 + b']' * 90000, 'nested deeper than 20'),
    (b'a: !!python/object/apply:os.system ["touch ran"]', 'no YAML'),
    (b'a: 2001-99-99', 'a value cannot be read'), (b'a: ' + b'9' * 5000, 'value cannot be read'),
    (b'a: ' + b'x' * 300000, 'more than 200000 bytes'),
    (b'a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]'
     b'\nd: [*c,*c,*c,*c,*c,*c,*c,*c]', 'more than 5000 values'),
    (b'1: 2\na: 3', 'key that is no text: 1'), (b'data_cfg: {1: 2, a: 3}', 'key that is no text'),
    (b'? [1]\n: 2', 'no YAML|value cannot'), (b'optimizer_cfg: {lr: .nan}', 'lr=nan must be a'),
    (b'optimizer_cfg: {lr: .inf}', 'lr=inf must be a'), (b'optimizer_cfg: {lr: -1}', 'lr=-1'),
    (b'data_cfg:', 'data_cfg is missing'),
])
def test_broken_files_are_named(content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / 'broken.yaml'
    source.write_bytes(content)
    if content.startswith(b'optimizer_cfg'):  # beside settings that are whole
        rest = settings_of('gaitbase_da_casiab')
        del rest['optimizer_cfg']
        source.write_bytes(yaml.safe_dump(rest).encode() + content)
    with pytest.raises(SystemExit, match=rf'error: .*broken\.yaml: .*({message})'):
        run_tool(monkeypatch, 'convert_config.py', source, tmp_path / 'ours.py')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['broken.yaml']


def test_missing_files_are_named(tmp_path):
    for path in (tmp_path / 'nowhere.yaml', tmp_path):
        with pytest.raises(SettingError, match='cannot be read'):
            read_settings(path)


def test_an_earlier_config_survives_an_error(tmp_path, monkeypatch):
    source, target = tmp_path / 'a.yaml', tmp_path / 'ours.py'
    source.write_text(yaml.safe_dump(settings_of('baseline')))
    run_tool(monkeypatch, 'convert_config.py', source, target)
    before = target.read_bytes()
    source.write_text('data_cfg: 3')
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, 'convert_config.py', source, target)
    assert target.read_bytes() == before


@pytest.mark.parametrize('layers', [['BC-x'], ['BC-'], ['BC-0'], ['M'], [], 'BC-64', [3],
                                    ['BC-64', 'FC-64-2'], ['BC-٣'], ['BC-' + '9' * 5000]])
def test_impossible_layers_are_named(layers):
    content = changed(('model_cfg.backbone_cfg.layers_cfg', layers), base='baseline')
    with pytest.raises(SettingError, match='layers_cfg'):
        convert_settings(content)


def _paths(content, prefix=()):
    """Every place of settings, sections included."""
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        yield (*prefix, key)
        if isinstance(value, (dict, list)):
            yield from _paths(value, (*prefix, key))


FILES = {name: settings_of(name) for name in OFFICIAL}
PLACES_OF = {name: list(_paths(content)) for name, content in FILES.items()}
KEYS = sorted({key for paths in PLACES_OF.values() for path in paths for key in path
               if isinstance(key, str)}) + ['_base_', '_delete_', 'type', 'class', HOSTILE_KEY]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.integers(), st.floats(),
    st.sampled_from([10 ** 400, 2 ** 31, -1, 0, 1e308, 'BC-x', 'all_ordered', 'fixed_ordered',
                     'M', '{{$A:b}}', f"'+{EXECUTES}+'", 'x' * 500, b'x']),
    st.text(string.printable + 'é\u2028\ud800', max_size=12), st.dates())
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(
    st.lists(inner, max_size=4),
    st.dictionaries(st.one_of(st.sampled_from(KEYS), SCALARS.filter(lambda k: k == k)), inner,
                    max_size=4)), max_leaves=8)


@st.composite
def mutated_settings(draw):
    """An official file with one to three places replaced, removed or added to."""
    name = draw(st.sampled_from(sorted(FILES)))
    content = copy.deepcopy(FILES[name])
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(PLACES_OF[name]))
        target = content
        try:
            for key in parents:
                target = target[key]
            action = draw(st.sampled_from(['replace', 'replace', 'remove', 'add']))
            if action == 'replace':
                target[last] = draw(VALUES)
            elif action == 'remove':
                del target[last]
            else:
                target[draw(st.sampled_from(KEYS))] = draw(VALUES)
        except (TypeError, KeyError, IndexError, AttributeError, ValueError):
            continue  # an earlier change took the place away
    return content


def check_settings(content):
    """Settings give a config of literals, or a `SettingError` of one readable line."""
    try:
        text = config_text(convert_settings(content), ['base.py'])
    except SettingError as error:
        assert 10 < len(str(error)) < 2000
        return
    for statement in ast.parse(text).body[1:]:
        assert isinstance(statement, ast.Assign)
        ast.literal_eval(statement.value)
    assert '{{' not in text


@seed(0)
@settings(max_examples=200, deadline=None, database=None)
@given(mutated_settings())
def test_fuzzed_settings(content):
    check_settings(content)


def mutated_text(draw):
    """The text of an official file with some bytes replaced, removed or repeated."""
    raw = bytearray(yaml.safe_dump(FILES[draw(st.sampled_from(sorted(FILES)))]).encode())
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(raw) - 1))
        piece = draw(st.one_of(st.binary(max_size=3), st.sampled_from(
            [b'{', b'[', b'&a ', b'*a', b'!!', b'"', b"'", b'? ', b': ', b'\n', b'|', b'- ',
             b'!!binary ', b'!!set ', b'!!timestamp ', b'<<: ', b'0x', b'1_', b'%', b'\xef\xbb'])))
        raw[place:place + draw(st.integers(0, 6))] = piece
    return bytes(raw)


@seed(0)
@settings(max_examples=100, deadline=None, database=None)
@given(st.data())
def test_fuzzed_files(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / 'fuzzed.yaml'
    path.write_bytes(mutated_text(data.draw))
    try:
        content = read_settings(path)
    except SettingError as error:
        assert str(path) in str(error)
    else:
        check_settings(content)


@pytest.mark.slow
@pytest.mark.parametrize('number', range(20))
def test_fuzzed_settings_at_length(number):
    """Ten thousand cases in all."""
    fuzz = given(mutated_settings())(check_settings)
    seed(number)(settings(max_examples=500, deadline=None, database=None)(fuzz))()


def test_written_configs_survive_their_reading(tmp_path):
    """Texts that Python would read as something else come back as they were."""
    for i, root in enumerate(("it's", 'a "b"', 'C:\\new\\data', '#x', '数据', '%(x)s {x} ${HOME}')):
        path = tmp_path / f'c{i}.py'
        cfg = converted(changed(('data_cfg.dataset_root', root)), tmp_path, f'c{i}')
        assert cfg.train_dataloader.dataset.data_prefix.path == root
        assert Config.fromfile(path).filename == str(path)
