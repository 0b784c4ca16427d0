"""Pickled arrays are built of what fills them, and of plain types; nothing crashes."""
from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import pytest
import torch

import razor_ext  # noqa: F401
from razor_ext.compat import UnsafeCheckpointError, safe_load
from razor_ext.gait.datasets.pickle_io import SequenceError, load_pickle

RECONSTRUCT = b'cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n'
DTYPE = b'cnumpy\ndtype\n'


def _text(value: bytes) -> bytes:
    return b'X' + len(value).to_bytes(4, 'little') + value


def _bytes(value: bytes) -> bytes:
    return b'B' + len(value).to_bytes(4, 'little') + value


def _dtype(name: bytes, order: bytes = b'|', middle: bytes = b'NNN', flags: int = 0) -> bytes:
    sizes = b'J\xff\xff\xff\xff' * 2
    return (DTYPE + _text(name) + b'K\0K\x01\x87R(K\x03' + _text(order) + middle + sizes
            + b'K' + bytes([flags]) + b'tb')


def _array(dtype: bytes, shape: bytes, content: bytes) -> bytes:
    return (RECONSTRUCT + b'K\0\x85C\x01b\x87R(K\x01' + shape + dtype + b'\x89' + _bytes(content)
            + b'tb')


BAD = {
    'pointers as objects': _array(_dtype(b'O8'), b'K\x01\x85', b'A' * 8),
    'objects of bytes': _array(_dtype(b'O8', flags=63), b'K\x01\x85', b'A' * 8),
    'fields': _array(_dtype(b'V8'), b'K\x01\x85', b'A' * 8),
    'a subarray': _array(_dtype(b'u1', middle=DTYPE + _text(b'u1') + b'K\0K\x01\x87R' + b'NN'),
                         b'K\x01\x85', b'A'),
    'memory that nothing wrote': RECONSTRUCT + b'K2K@K@\x87C\x01B\x87R',
    'sixteen gigabytes': RECONSTRUCT + b'K\x01J\0\0\0\x7fK\x08\x87C\x01B\x87R',
    'too few bytes': _array(_dtype(b'u1'), b'K2K@K@\x87', b'A' * 9),
    'a negative shape': _array(_dtype(b'u1'), b'J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86', b'A'),
    'an array by its type': b'cnumpy\nndarray\n(K2K@K@\x87tR',
    'a type by its class': b'cnumpy.dtypes\nObjectDType\n)R',
    'a huge memo index': b'K\x01r\xff\xff\xff\x7f',
    'a huge length': b'\x8e' + (2 ** 40).to_bytes(8, 'little') + b'A',
    'a huge byte array': b'\x96' + (2 ** 35).to_bytes(8, 'little') + b'A',
}


@pytest.mark.parametrize('case', BAD)
def test_a_silhouette_file_is_refused(tmp_path, case):
    path = tmp_path / 'a.pkl'
    path.write_bytes(b'\x80\x02' + BAD[case] + b'.')
    with pytest.raises(SequenceError, match=r'a\.pkl') as caught:
        load_pickle(path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('case', [case for case in BAD if 'huge' not in case])
def test_a_checkpoint_is_refused(tmp_path, case, zipped):
    path = tmp_path / 'a.pth'
    content = b'\x80\x02' + BAD[case] + b'.'
    if zipped:
        torch.save({}, path)
        records = {}
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                records[name] = archive.read(name)
        with zipfile.ZipFile(path, 'w') as archive:
            for name, record in records.items():
                archive.writestr(name, content if name.endswith('data.pkl') else record)
    else:
        header = [pickle.dumps(part, 2) for part in (
            torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {})]
        path.write_bytes(b''.join([*header, content, pickle.dumps([], 2)]))
    with pytest.raises(UnsafeCheckpointError, match=r'a\.pth'):
        safe_load(path)


@pytest.mark.smoke
@pytest.mark.parametrize('protocol', range(6))
def test_silhouettes_of_every_protocol_are_read(tmp_path, protocol):
    frames = np.random.default_rng(0).integers(0, 255, (3, 64, 44)).astype(np.uint8)
    path = tmp_path / 'a.pkl'
    for array in (frames, np.asfortranarray(frames), frames[:, ::2]):
        path.write_bytes(pickle.dumps(array, protocol))
        found = load_pickle(path)
        np.testing.assert_array_equal(found, array)
        found[0, 0, 0] = 1  # as of any pickle, it can be written


@pytest.mark.smoke
@pytest.mark.parametrize('value', [
    np.arange(6.).reshape(2, 3), np.arange(6, dtype='>i4'), np.array(['ab', 'c']), np.array([]),
    np.array(['a', None], object), np.array([True]), np.float16(3), np.zeros((0, 2)),
    np.array([1 + 2j])], ids=repr)
def test_arrays_of_checkpoints_are_read(tmp_path, value):
    torch.save({'meta': value}, tmp_path / 'a.pth')
    found = safe_load(tmp_path / 'a.pth')['meta']
    assert found.dtype == value.dtype.newbyteorder('=')  # NumPy turns the bytes around
    np.testing.assert_array_equal(found, value)


def test_a_file_that_unpacks_to_much_more_is_not_unpacked(tmp_path):
    path = tmp_path / 'bomb.pth'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('a/data.pkl', pickle.dumps({}, 2))
        archive.writestr('a/data/0', bytes(80 << 20))
    with pytest.raises(RuntimeError, match=r'bomb\.pth .* unpack to 83,886,\d+'):
        safe_load(path)


def test_a_damaged_stream_is_an_error_that_names_the_file(tmp_path):
    buffer = io.BytesIO()
    torch.save({'state_dict': {'weight': torch.rand(3)}, 'meta': 'é' * 20}, buffer)
    records = {}
    with zipfile.ZipFile(buffer) as archive:
        for name in archive.namelist():
            records[name] = archive.read(name)
    rng = np.random.default_rng(0)
    for case in range(200):
        path = tmp_path / f'{case}.pth'
        with zipfile.ZipFile(path, 'w') as archive:
            for name, record in records.items():
                if name.endswith('data.pkl'):
                    changed = bytearray(record)
                    changed[rng.integers(len(record))] = rng.integers(256)
                    record = bytes(changed)
                archive.writestr(name, record)
        try:
            safe_load(path)
        except RuntimeError as error:
            assert path.name in str(error)


def test_a_long_name_makes_no_long_message(tmp_path):
    path = tmp_path / 'a.pth'
    name = b'x' * 1_000_000
    torch.save({}, path)
    with zipfile.ZipFile(path) as archive:
        records = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for entry, record in records.items():
            archive.writestr(entry, b'\x80\x02c' + name + b'\n' + name + b'\n)R.'
                             if entry.endswith('data.pkl') else record)
    with pytest.raises(RuntimeError) as caught:
        safe_load(path)
    assert len(str(caught.value)) < 1500
