"""What is fuzzed: for each kind of input, strategies for it and what reads it."""
from __future__ import annotations

import copy
import io
import json
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from mmengine.config import Config
from torch import nn

from razor_ext.compat.safe_load import UnsafeCheckpointError
from razor_ext.deploy.convert import Conversion
from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.latency.table import LatencyTable, hardware_id
from razor_ext.gait.convert import SettingError, read_settings
from razor_ext.gait.datasets.pickle_io import SequenceError, load_pickle
from razor_ext.gait.datasets.store import SilhouetteStore
from razor_ext.gait.datasets.tree import read_partition
from razor_ext.graph import GraphError, analyze
from razor_ext.quantization import (
    QuantConfig,
    QuantFileError,
    apply_quant,
    calibrate,
    fix_bits,
    load_quant,
    quantize_model,
    save_quant,
)
from razor_ext.structure import StructureError, load_structure
from razor_ext.structure.fix_subnet import check_structure
from razor_ext.structure.latency import LatencyFileError, LayerShape, LayerTimes
from razor_ext.structure.rebuild import UnprunedError, load_sliced, slice_structure
from razor_ext.structure.unit_file import AnalysedUnits, load_units, save_units
from razor_ext.workflow.annotations import check_annotations
from razor_ext.workflow.request import RequestError
from tests.gait.test_opengait_hostile import check_settings, mutated_settings, mutated_text

from .options import options_case, run_options
from .values import damaged, damaged_bytes, damaged_json

MOST = 2500


@dataclass(frozen=True)
class Target:
    """A kind of input.

    Args:
        cases: strategy for its content.
        check: gets a content and a folder, and raises AssertionError, or anything that is not
            expected, where the input is not handled as it must be.
    """

    cases: st.SearchStrategy
    check: Callable[[Any, Path], None]


def reader(read: Callable[[Path], Any], *errors: type[Exception], name: str = 'input.json',
           folder: bool = False) -> Callable[[bytes, Path], None]:
    """Return a check: a file is read, or refused by an error that names it and is short.

    Args:
        read: gets the path; of its folder, if `folder`.
        errors: that may come out.
        name: of the file.
        folder: whether the reader wants the folder.
    """
    def check(content: bytes, place: Path) -> None:
        path = place / name
        path.write_bytes(content)
        try:
            read(place if folder else path)
        except errors as error:
            assert str(place) in str(error), f'names no file: {error!r:.300}'
            assert len(str(error)) < MOST, f'{len(str(error))} characters: {error!r:.300}'
    return check


class Net(nn.Module):
    """A net of two units."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 6, 1)
        self.head = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv2(self.norm(self.conv1(x)).relu())
        return self.head(x.relu().mean((2, 3)))


torch.manual_seed(0)
NET = Net().eval()
INPUTS = torch.randn(2, 3, 6, 6)
UNITS = tuple(analyze(NET, INPUTS).units)
STRUCTURE = {unit.name: unit.num_channels - 2 for unit in UNITS}
SLICED = slice_structure(NET, STRUCTURE, UNITS)


def _written(write: Callable[[Path], Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'file')
        write(path)
        return path.read_bytes()


def _quant() -> Any:
    model = copy.deepcopy(NET)
    infos = quantize_model(model, QuantConfig(weight_bits=(4, 4), activation_bits=(8, 8)))
    calibrate(model, [INPUTS])
    fix_bits(model)
    return json.loads(_written(lambda path: save_quant(path, model, infos)))


def _read_structure(path: Path) -> None:
    structure = load_structure(path)
    try:
        check_structure(structure, {unit.name: unit.num_channels for unit in UNITS})
    except StructureError as error:
        assert len(str(error)) < MOST
        raise StructureError(f'{path}: {error}') from error


def _read_quant(path: Path) -> None:
    spec = load_quant(path)
    model = copy.deepcopy(NET)
    try:
        apply_quant(model, spec)
    except QuantFileError as error:
        raise QuantFileError(f'{path}: {error}') from error
    with torch.no_grad():
        assert model(INPUTS).isfinite().all(), 'a grid that was accepted gives no finite output'


def _read_units(path: Path) -> None:
    units = load_units(path).units
    try:
        slice_structure(NET, {unit.name: max(1, unit.num_channels - 1) for unit in units[:9]}
                        or STRUCTURE, units)
    except (StructureError, GraphError) as error:
        raise StructureError(f'{path}: {error}') from error


def _saved(legacy: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({'state_dict': SLICED.state_dict(), 'meta': dict(iter=3, log=np.arange(3))}, buffer,
               _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def _zips() -> st.SearchStrategy[bytes]:
    """Checkpoints whose pickle is damaged."""
    with zipfile.ZipFile(io.BytesIO(_saved(False))) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    name, = (name for name in records if name.endswith('data.pkl'))

    def pack(content: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, 'w') as archive:
            for record, old in records.items():
                archive.writestr(record, content if record == name else old)
        return buffer.getvalue()

    return damaged_bytes(records[name]).map(pack)


def _read_weights(path: Path) -> None:
    load_sliced(copy.deepcopy(SLICED), path)


def _read_times(path: Path) -> None:
    times = LayerTimes(path)
    for shape in (LayerShape(3, 8, (3, 3), size=(6, 6)), LayerShape(8, 8, (3, 3), groups=8)):
        for bits in (8, 32):
            assert times.milliseconds(shape, bits, 3, 5) > 0


def _read_table(folder: Path) -> None:
    table = LatencyTable(folder)
    for spread in table._entries.values():
        assert spread.min * 2 > 0


def _read_yaml(path: Path) -> None:
    check_settings(read_settings(path))


def _read_store(folder: Path) -> None:
    (folder / 'frames.bin').write_bytes(bytes(4 * 6 * 5))
    store = SilhouetteStore(folder)
    for key in store.sequences:
        assert store.read(key).shape[1:] == store.frames.shape[1:]


def _check_deploy(content: Any, folder: Path) -> None:
    (folder / 'deploy.py').touch()
    cfg = Config(content, filename=str(folder / 'deploy.py'))
    model = Config(dict(model=dict(type='Net'), codec=dict(input_size=(192, 256))))
    try:
        Conversion(cfg, model, 'none.pth')
    except DeployError as error:
        assert 'deploy.py' in str(error) and len(str(error)) < MOST, str(error)[:300]


DEPLOY = dict(
    codebase_config=dict(type='mmpose', task='PoseDetection', export_postprocess=False),
    backend_config=dict(type='tensorrt', common_config=dict(fp16_mode=False), model_inputs=[
        dict(input_shapes=dict(input=dict(min_shape=[1, 3, 256, 192], opt_shape=[1, 3, 256, 192],
                                          max_shape=[4, 3, 256, 192])))]),
    onnx_config=dict(type='onnx', save_file='end2end.onnx', opset_version=13,
                     input_shape=[192, 256], input_names=['input'], output_names=['x', 'y'],
                     keep_initializers_as_inputs=False,
                     dynamic_axes=dict(input={0: 'batch'}, x=[0])))
COCO = dict(
    images=[dict(id=1, file_name='a.png', width=64, height=48),
            dict(id=2, file_name='b.png', width=64, height=48)],
    annotations=[dict(id=number, image_id=number % 2 + 1, category_id=1, bbox=[1., 2, 20, 30],
                      area=600., iscrowd=0, num_keypoints=2, keypoints=[3, 4, 2, 5.5, 6, 1])
                 for number in range(3)],
    categories=[dict(id=1, name='person', keypoints=['a', 'b'], skeleton=[[1, 2]])])
TIMES = dict(hardware='a', kinds=[
    dict(kind=shape.kind, bits=bits, inputs=[] if shape.depthwise else [1, 4, 16],
         outputs=[1, 8, 16], ms=[.1, .2, .3] if shape.depthwise else [[.1, .2, .3]] * 3)
    for shape in (LayerShape(3, 8, (3, 3), size=(6, 6)), LayerShape(8, 8, (3, 3), groups=8))
    for bits in (8, 32)])
PARTITION = dict(TRAIN_SET=['001', '002'], TEST_SET=['003'], PROBE_SET=['003-nm-01'],
                 GALLERY_SET=['003-nm-02'])
STORE = dict(format='razor_ext silhouettes', version=1, size=[6, 5], num_frames=4,
             sequences=[['001', 'nm-01', '090', 0, 3], ['002', 'nm-01', '090', 3, 1]])
FRAMES = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)

TARGETS = {
    'structure': Target(damaged_json(STRUCTURE), reader(_read_structure, StructureError)),
    'quant.json': Target(damaged_json(_quant()), reader(_read_quant, QuantFileError)),
    'units.json': Target(damaged_json(json.loads(_written(lambda path: save_units(
        path, AnalysedUnits(UNITS, 'a' * 64))))), reader(_read_units, StructureError)),
    'checkpoint': Target(
        st.one_of(_zips(), _zips(), damaged_bytes(_saved(False)), damaged_bytes(_saved(True))),
        reader(_read_weights, ValueError, UnsafeCheckpointError, UnprunedError, name='a.pth')),
    'pickle': Target(
        st.one_of([damaged_bytes(pickle.dumps(FRAMES, protocol)) for protocol in range(6)]),
        reader(load_pickle, SequenceError, name='a.pkl')),
    'annotations': Target(damaged_json(COCO), reader(check_annotations, RequestError)),
    'partition': Target(damaged_json(PARTITION), reader(read_partition, ValueError)),
    'latency file': Target(damaged_json(TIMES), reader(_read_times, LatencyFileError)),
    'latency table': Target(
        damaged_json({'3>8 k3x3 at 32': dict(min=.1, median=.2, max=.3)}),
        reader(_read_table, DeployError, name=f'{hardware_id()}.json', folder=True)),
    'store': Target(damaged_json(STORE), reader(_read_store, ValueError, name='index.json',
                                                folder=True)),
    'yaml settings': Target(mutated_settings(), lambda content, folder: check_settings(content)),
    'yaml file': Target(st.composite(mutated_text)(), reader(_read_yaml, SettingError,
                                                             name='a.yaml')),
    'deploy config': Target(damaged(DEPLOY), _check_deploy),
    'options': Target(options_case(), run_options),
}
