"""JSON of others: bounded and strict."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from razor_ext.deploy.latency.table import LatencyTable, hardware_id
from razor_ext.engine.json_file import MAX_DEPTH, JsonError, parse_json, read_json
from razor_ext.gait.datasets.store import open_store
from razor_ext.gait.datasets.tree import read_partition
from razor_ext.quantization import load_quant
from razor_ext.structure import load_structure
from razor_ext.structure.latency import LayerTimes
from razor_ext.structure.unit_file import load_units

BAD = {
    'deep': b'[' * 100_000 + b']' * 100_000,
    'deep objects': b'{"a":' * 100_000 + b'1' + b'}' * 100_000,
    'digits': b'{"a": ' + b'9' * 5000 + b'}',
    'twice': b'{"a": 1, "a": 2}',
    'infinite': b'{"a": Infinity}',
    'nan': b'{"a": NaN}',
    'too large a number': b'{"a": 1e999}',
    'cut off': b'{"a": ',
    'no UTF-8': b'{"\xff\xfe": 1}',
    'another kind': b'[1, 2]',
}


@pytest.mark.smoke
@pytest.mark.parametrize('case', [case for case in BAD if case != 'another kind'])
def test_what_is_wrong_is_said(case):
    with pytest.raises(JsonError) as caught:
        parse_json(BAD[case])
    assert len(str(caught.value)) < 300


def test_depth_is_that_of_brackets_outside_text():
    text = json.dumps({'a"[\\': ['[' * 1000, '\\"' + '{' * 1000]})
    assert parse_json(text.encode()) == json.loads(text)
    assert parse_json(b'[' * MAX_DEPTH + b']' * MAX_DEPTH)


def test_a_large_file_is_not_read(tmp_path):
    path = tmp_path / 'large.json'
    path.write_bytes(b' ' * 1000)
    with pytest.raises(JsonError, match=r'1,000 bytes are more than the 999'):
        read_json(path, max_bytes=999)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10 ** 30, 10 ** 30) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@settings(max_examples=100, deadline=None)
@given(_JSON, st.booleans())
def test_all_other_json_is_read_as_ever(value, ascii_only):
    content = json.dumps(value, ensure_ascii=ascii_only).encode('utf-8', 'surrogatepass')
    try:
        content.decode()
    except UnicodeDecodeError:
        return  # a half of a pair of surrogates is no text
    assert parse_json(content) == value


def _store(path: Path) -> object:
    index = path.with_name('index.json')
    index.write_bytes(path.read_bytes())
    return open_store(str(path.parent))


def _table(path: Path) -> object:
    path.rename(path.with_name(f'{hardware_id()}.json'))
    return LatencyTable(path.parent)


READERS = {'structure': load_structure, 'quant': load_quant, 'units': load_units,
           'partition': read_partition, 'latency file': LayerTimes, 'store': _store,
           'latency table': _table}


@pytest.mark.parametrize('case', BAD)
@pytest.mark.parametrize('reader', READERS)
def test_every_reader_names_the_file(tmp_path, reader, case):
    path = tmp_path / 'file.json'
    path.write_bytes(BAD[case])
    with pytest.raises(ValueError, match=str(tmp_path)) as caught:
        READERS[reader](path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize('index', [
    {'size': [64, 44], 'num_frames': 10 ** 30, 'sequences': []},
    {'size': [64], 'num_frames': 5, 'sequences': []},
    {'size': 'ab', 'num_frames': 5, 'sequences': []},
    {'size': [64, 44], 'num_frames': 5, 'sequences': [['a', 'b', 'c', 3, 9]]},
    {'size': [64, 44], 'num_frames': 5, 'sequences': [['a', 'b', 0, 3]]},
    {'size': [64, 44], 'num_frames': 5, 'sequences': 7},
])
def test_an_index_that_its_frames_do_not_fit_is_named(tmp_path, index):
    (tmp_path / 'index.json').write_text(json.dumps(
        {'format': 'razor_ext silhouettes', 'version': 1, **index}))
    (tmp_path / 'frames.bin').write_bytes(b'')
    with pytest.raises(ValueError, match=r'index\.json|frames\.bin'):
        open_store(str(tmp_path))
