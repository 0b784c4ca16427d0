"""The compressed folder: written whole or not at all, read without tracing, refused if damaged."""
from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmrazor.registry import MODELS
from tiny_geta import SHAPE, optim
from tiny_pose import batch, runner, tiny_rtmpose

from razor_ext.graph import ChannelUnit, UnitMember
from razor_ext.quantization import QuantFileError
from razor_ext.structure import StructureError, load_compressed, rebuild, write_compressed
from razor_ext.structure import export as export_module
from razor_ext.structure.dense_config import dense_config
from razor_ext.structure.unit_file import AnalysedUnits, dense_hash, load_units, save_units

FILES = ('compressed.pth', 'config.py', 'fix_subnet.json', 'units.json')
STEM = 'backbone.stem.0.conv_(0, 4)_4'


def run_config(**model: object) -> Config:
    """Return the config of a pruning run, as far as the folder cares."""
    return Config(dict(default_scope='mmpose', train_cfg=dict(max_epochs=3), load_from='dense.pth',
                       model=dict(dict(_scope_='mmrazor', type='GETA', demo_input=SHAPE,
                                       architecture=tiny_rtmpose()), **model)))


def half(units: list[ChannelUnit], offset: int = 0) -> dict[str, int]:
    return {unit.name: max(1, unit.num_channels // 2 - offset) for unit in units}


def make() -> tuple[torch.nn.Module, dict, list[ChannelUnit]]:
    """Return a sliced model, its structure and the units of the dense one."""
    init_default_scope('mmpose')
    dense = revert_sync_batchnorm(MODELS.build(tiny_rtmpose()))
    dense.init_weights()
    units = rebuild.find_units(dense, SHAPE)
    structure = half(units)
    return rebuild.slice_structure(dense, structure, units).eval(), structure, units


def write(folder: Path, **changes: object) -> torch.nn.Module:
    model, structure, units = make()
    write_compressed(model, structure, folder, config=run_config(), units=units, **changes)
    return model


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def outputs(model: torch.nn.Module) -> list[torch.Tensor]:
    inputs = model.data_preprocessor(batch(0, 2), False)['inputs']
    with torch.no_grad():
        return list(model.eval()(inputs, None))


def build(**arguments: object) -> torch.nn.Module:
    return MODELS.build(dict(type='mmrazor.CompressedModel', **arguments))


class Look(Hook):
    """Records the JSON files of a folder at the beginning of training."""

    def __init__(self, folder: Path, seen: list) -> None:
        self.folder, self.seen = folder, seen

    def before_train_epoch(self, runner: object) -> None:
        self.seen.append(sorted(path.name for path in self.folder.glob('*.json')))


@pytest.fixture
def no_analysis(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record calls of the analysis."""
    calls: list[str] = []
    original = rebuild.analyze

    def counted(model: torch.nn.Module, *args: object, **kwargs: object):
        calls.append(type(model).__name__)
        return original(model, *args, **kwargs)

    monkeypatch.setattr(rebuild, 'analyze', counted)
    return calls


# ---- round trip

def test_a_folder_is_rebuilt_bit_for_bit_without_analysis(
        tmp_path: Path, no_analysis: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither tracing nor proving: nothing of razor_ext.graph but slicing runs."""
    model = write(tmp_path / 'compressed')
    assert sorted(contents(tmp_path / 'compressed')) == sorted(FILES)
    no_analysis.clear()
    for name in ('graph.trace', 'predict.trace', 'proof.Prover'):
        monkeypatch.setattr(f'razor_ext.graph.{name}', None)
    for path in (tmp_path, tmp_path / 'compressed'):  # the work directory, or the folder itself
        rebuilt = build(compressed=str(path))
        state = rebuilt.state_dict()
        assert list(state) == list(model.state_dict())
        assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
        for one, other in zip(outputs(rebuilt), outputs(model)):
            assert torch.equal(one, other)
    assert not no_analysis


def test_the_config_is_that_of_the_dense_model_and_loads_by_itself(tmp_path: Path) -> None:
    architecture = tiny_rtmpose()
    architecture['init_cfg'] = dict(type='Pretrained', checkpoint='nowhere.pth')
    architecture['backbone']['init_cfg'] = [dict(type='Pretrained', checkpoint='nowhere.pth')]
    inner = dict(type='mmrazor.GETA', architecture=architecture,
                 mutator=dict(type='GETAMutator', demo_input=SHAPE, keep=['head.mlp']))
    config = run_config(type='SingleTeacherDistill', architecture=inner, demo_input=None)
    config.custom_hooks = [dict(type='mmrazor.CompressedModelHook'), dict(type='EMAHook')]
    config.default_hooks = dict(timer=dict(type='IterTimerHook'),
                                files=dict(type='mmrazor.CompressedModelHook'))
    dense = dense_config(config)
    assert [hook.type for hook in dense.custom_hooks] == ['EMAHook']
    assert dense.default_hooks == dict(timer=dict(type='IterTimerHook'), files=None)
    assert len(config.custom_hooks) == 2 and config.default_hooks.files is not None
    dense.dump(tmp_path / 'config.py')
    loaded = Config.fromfile(tmp_path / 'config.py')
    assert loaded.model.type == 'TopdownPoseEstimator' and loaded.train_cfg.max_epochs == 3
    assert loaded.load_from is None and 'razor_ext' in loaded.custom_imports.imports
    assert loaded.compression == dict(demo_input=list(SHAPE), keep=['head.mlp'])
    model = MODELS.build(loaded.model)
    model.init_weights()  # no checkpoint of another model is asked for
    assert config.model.architecture.architecture.init_cfg.checkpoint == 'nowhere.pth'
    assert dense_config(loaded) is loaded
    with pytest.raises(ValueError, match='`model` holds no `architecture` config'):
        dense_config(Config(dict(model=tiny_rtmpose())))


def test_units_are_written_exactly(tmp_path: Path) -> None:
    """Any positions come back, in few runs where they are regular."""
    rows = torch.arange(6)
    positions = {
        'plain': rows[:, None], 'flat': torch.arange(24).reshape(6, 4),
        'groups': torch.stack([rows, rows + 6, rows + 12], 1), 'stride': 2 * rows[:, None] + 1,
        'random': torch.randperm(18).reshape(6, 3), 'falling': rows.flip(0)[:, None]}
    members = tuple(UnitMember(name, 1, table, 'out') for name, table in positions.items())
    unit = ChannelUnit('unit_(0, 6)_6', 6, members, (UnitMember('output.0', 2, rows[:, None], 'in'),
                                                     ), 7, 8)
    one = ChannelUnit('one_(3, 4)_1', 1, (UnitMember('x', 0, torch.tensor([[3]]), 'in'),))
    save_units(tmp_path / 'units.json', AnalysedUnits((unit, one), 'hash', [1, 3, 8, 8], ('a',)))
    found = load_units(tmp_path / 'units.json')
    assert (found.dense, found.demo_input, found.keep) == ('hash', [1, 3, 8, 8], ('a',))
    for before, after in zip((unit, one), found.units):
        assert (before.name, before.num_channels, before.macs_per_channel,
                before.params_per_channel) == (after.name, after.num_channels,
                                               after.macs_per_channel, after.params_per_channel)
        for old, new in zip((*before.members, *before.outputs), (*after.members, *after.outputs)):
            assert (old.name, old.dim, old.role) == (new.name, new.dim, new.role)
            assert old.indices.dtype == new.indices.dtype
            assert torch.equal(old.indices, new.indices)
    written = json.loads((tmp_path / 'units.json').read_text())['units'][0]['members']
    assert {entry['name']: len(entry['runs']) for entry in written if entry['name'] != 'random'} \
        == dict(plain=1, flat=1, groups=1, stride=1, falling=1)


def test_a_finetune_run_from_a_folder_leaves_a_folder(
        tmp_path: Path, no_analysis: list[str]) -> None:
    """The structure is beside the checkpoints from the start; building alone writes nothing."""
    write(tmp_path / 'prune' / 'compressed')
    no_analysis.clear()
    work_dir = tmp_path / 'finetune'
    run = runner(work_dir, dict(type='mmrazor.CompressedModel',
                                compressed=str(tmp_path / 'prune')), epochs=1,
                 hooks=(dict(type='mmrazor.CompressedModelHook'),), optim_wrapper=optim('AdamW'))
    run.model.init_weights()
    assert not list(work_dir.rglob('*.json'))
    seen = []
    run.register_hook(Look(work_dir, seen))
    run.train()
    assert seen == [['fix_subnet.json']]
    folder = load_compressed(work_dir)
    assert folder.path == work_dir / 'compressed'
    assert folder.config.model.type == 'TopdownPoseEstimator'
    # The folder of the pruning run is not needed any more.
    (tmp_path / 'prune').rename(tmp_path / 'gone')
    rebuilt = build(compressed=str(work_dir))
    for one, other in zip(outputs(rebuilt), outputs(run.model)):
        assert torch.equal(one, other)
    assert not no_analysis


# ---- folders and configs of older releases

def test_a_folder_of_old_is_analysed_once(tmp_path: Path, no_analysis: list[str],
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """No units.json: one analysis with its proof, and no second proof of the choice."""
    model = write(tmp_path)
    for name in ('units.json', 'config.py'):
        (tmp_path / name).unlink()
    monkeypatch.setattr('razor_ext.graph.graph.check_slice', None)
    no_analysis.clear()
    rebuilt = build(compressed=str(tmp_path), architecture=tiny_rtmpose(), demo_input=SHAPE)
    assert no_analysis == ['TopdownPoseEstimator']
    for one, other in zip(outputs(rebuilt), outputs(model)):
        assert torch.equal(one, other)
    with pytest.raises(StructureError, match=r'has no config\.py.*give `architecture`'):
        build(compressed=str(tmp_path))


def test_paths_of_old_configs_are_found(tmp_path: Path) -> None:
    """`WORK_DIR/NAME` means `WORK_DIR/compressed/NAME` where only that exists."""
    model = write(tmp_path / 'compressed')
    rebuilt = build(architecture=tiny_rtmpose(), demo_input=SHAPE,
                    fix_subnet=str(tmp_path / 'fix_subnet.json'),
                    checkpoint=str(tmp_path / 'compressed.pth'))
    for one, other in zip(outputs(rebuilt), outputs(model)):
        assert torch.equal(one, other)
    (tmp_path / 'fix_subnet.json').write_text('{}')  # what exists is read
    with pytest.raises(StructureError, match='fix_subnet is empty'):
        build(architecture=tiny_rtmpose(), fix_subnet=str(tmp_path / 'fix_subnet.json'))


# ---- damage

def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _bad_run(path: Path) -> None:
    content = json.loads(path.read_text())
    content['units'][0]['members'][0]['runs'] = [[0, 1, 3]]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize('name, damage, error, message', [
    ('fix_subnet.json', lambda p: p.write_text('{"a": '), StructureError,
     'fix_subnet.json.* not valid JSON'),
    ('fix_subnet.json', lambda p: edit(p, **{STEM: 0}), StructureError, 'fix_subnet.json.*keeps 0'),
    ('fix_subnet.json', lambda p: edit(p, **{STEM: 99}), StructureError, 'keeps 99 .* only 4'),
    ('fix_subnet.json', lambda p: p.unlink(), StructureError, 'interrupted; write it again'),
    ('units.json', lambda p: p.write_text(p.read_text()[:200]), StructureError,
     'units.json is not valid JSON.*delete it'),
    ('units.json', lambda p: p.write_bytes(b'\xff\xfe\x00'), StructureError, 'units.json'),
    ('units.json', lambda p: edit(p, version=7), StructureError,
     'units.json has version 7, only 1 is known'),
    ('units.json', lambda p: p.write_text('[]'), StructureError, 'units.json has version None'),
    ('units.json', lambda p: edit(p, units=[{}]), StructureError,
     'units.json is damaged .*delete it'),
    ('units.json', _bad_run, StructureError, r'units.json is damaged .*positions \[4, 1\]'),
    ('units.json', lambda p: edit(p, dense='0' * 64), StructureError,
     'units.json belongs to another model.*000000000000'),
    ('config.py', lambda p: p.write_text('model = ('), StructureError,
     'config.py cannot be read as a config'),
    ('config.py', lambda p: p.write_text('work_dir = 1'), StructureError,
     'config.py has no `model`'),
    ('compressed.pth', lambda p: p.write_bytes(p.read_bytes()[:1000]), ValueError,
     'compressed.pth.* is damaged .*extract_compressed'),
    ('compressed.pth', lambda p: p.unlink(), FileNotFoundError, 'compressed.pth.*does not exist'),
    ('quant.json', lambda p: p.write_text('{'), QuantFileError, 'quant.json.*not valid JSON'),
])
def test_damaged_files_are_refused(tmp_path: Path, name: str, damage, error: type,
                                   message: str) -> None:
    write(tmp_path)
    damage(tmp_path / name)
    with pytest.raises(error, match=message):
        build(compressed=str(tmp_path))


def test_a_foreign_model_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(StructureError, match=r'units\.json belongs to another model.*Give the '
                                          '`architecture` that was pruned'):
        build(compressed=str(tmp_path), architecture=tiny_rtmpose(channel_attention=False))
    with pytest.raises(StructureError, match='leave one of them out'):
        build(compressed=str(tmp_path), fix_subnet={STEM: 2})
    with pytest.raises(StructureError, match=r"compressed folder '.*nowhere' does not exist"):
        build(compressed=str(tmp_path / 'nowhere'))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(StructureError, match='is no compressed folder'):
        build(compressed=str(tmp_path / 'empty'))
    with pytest.raises(StructureError, match='give `compressed`'):
        build()


def test_the_hash_names_the_model_and_its_analysis() -> None:
    shapes = {'a': (1, 2), 'b': (3,)}
    hashes = {dense_hash(shapes), dense_hash({'a': (1, 2)}), dense_hash({**shapes, 'b': (4,)}),
              dense_hash(shapes, [1, 3, 8, 8]), dense_hash(shapes, None, ('a',))}
    assert len(hashes) == 5
    assert dense_hash(dict(reversed(shapes.items()))) == dense_hash(shapes)


# ---- writing

@pytest.mark.parametrize('broken', ['torch.save', 'write_json', 'save_units', 'os.replace'])
def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              broken: str) -> None:
    write(tmp_path)
    (tmp_path / 'notes.txt').write_text('mine')
    before = contents(tmp_path)
    model, structure, units = make()
    places = {'torch.save': (torch, 'save'), 'os.replace': (os, 'replace'),
              'write_json': (export_module, 'write_json'),
              'save_units': (export_module, 'save_units')}
    owner, name = places[broken]
    original, calls = getattr(owner, name), []

    def fail(*args: object, **kwargs: object) -> object:
        calls.append(args)
        # Of the moves, the third of the new files fails: old ones are away, new ones in place.
        inside = broken == 'os.replace' and not (
            Path(args[0]).name == 'units.json' and Path(args[0]).parent.name == '.writing'
            and Path(args[1]).parent == tmp_path)
        if inside:
            return original(*args, **kwargs)
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(OSError, match=rf'no space is left to write {tmp_path}, which is as it was'):
        write_compressed(model, half(units, 1), tmp_path, config=run_config(), units=units)
    monkeypatch.undo()
    assert calls and contents(tmp_path) == before
    write_compressed(model, structure, tmp_path, config=run_config(), units=units)
    assert (tmp_path / 'notes.txt').read_text() == 'mine'


KILLED = """
import os, signal, sys, torch
import razor_ext
from razor_ext.structure import export
folder, when = sys.argv[1:]
model = torch.nn.Linear(2, 2)
if when == 'staging':
    export.write_json = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
else:
    move, count = os.replace, [0]
    def replace(source, target):
        if os.path.basename(target) == 'compressed.pth' and 'before' not in str(target):
            os.kill(os.getpid(), signal.SIGKILL)
        move(source, target)
    export.os.replace = replace
export.write_compressed(model, {'a': 1}, folder)
"""


@pytest.mark.parametrize('when', ['staging', 'moving'])
def test_a_killed_process_leaves_no_half_folder(tmp_path: Path, when: str) -> None:
    """Killed while files are made, the old ones stay; while they are moved, the folder is refused.
    """
    model = write(tmp_path)
    before = contents(tmp_path)
    done = subprocess.run([sys.executable, '-c', textwrap.dedent(KILLED), str(tmp_path), when],
                          env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
                          capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    if when == 'staging':
        assert {name: (tmp_path / name).read_bytes() for name in before} == before
        for one, other in zip(outputs(build(compressed=str(tmp_path))), outputs(model)):
            assert torch.equal(one, other)
    else:
        with pytest.raises(StructureError, match='its writing was interrupted'):
            build(compressed=str(tmp_path))
    write(tmp_path)
    assert sorted(contents(tmp_path)) == sorted(before)


def test_files_of_another_kind_of_model_go(tmp_path: Path) -> None:
    """A float model written over a quantized one leaves no quant.json."""
    write(tmp_path)
    (tmp_path / 'quant.json').write_text('{}')
    write(tmp_path)
    assert not (tmp_path / 'quant.json').exists() and load_compressed(tmp_path).quant_path is None
