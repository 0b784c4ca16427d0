"""The steps of compression as a user takes them: three config files, the runs, the tools."""
from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tiny_geta import quicken
from torch import nn
from torch.utils._pytree import tree_flatten

from razor_ext.compat import safe_load
from razor_ext.engine import check_config
from razor_ext.engine.families import set_demo_input
from razor_ext.quantization import load_quant
from razor_ext.structure import load_compressed
from tests.families.site import install_toy

from .settings import FINETUNE_STEPS, Algorithm, ModelFamily

ROOT = Path(__file__).parents[2]
#: Longest config of a user, in lines.
MOST_LINES = 12
#: Step before which a run is killed; checkpoints are saved after every fourth.
KILLED = 14
EMA = dict(type='EMAHook', momentum=0.2, update_buffers=True, priority=49)


@contextmanager
def quick_toy(site: Path) -> Iterator[None]:
    """One thread, one analysis of each structure, the toy family installed, inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        with install_toy(site, patch):
            yield


class Killed(Exception):
    """Stands for what ends a process."""


class KillHook(Hook):
    """Ends a run before a step.

    Args:
        step: number of the step, from 0.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        """Raise `Killed` if it is time to."""
        if runner.iter == self.step:
            raise Killed


@dataclass(frozen=True)
class Contract:
    """An algorithm and a model in a folder that holds `dense.py`, and the steps they go through.

    Args:
        algorithm: row of `settings.ALGORITHMS`.
        family: row of `settings.FAMILIES`.
        folder: where `family.write` has written the dense model, and where everything else goes.
    """

    algorithm: Algorithm
    family: ModelFamily
    folder: Path

    def write_configs(self) -> list[Path]:
        """Write prune.py, finetune.py and deploy.py as a user would."""
        rows, prefix = dict(self.algorithm.model), self.algorithm.prefix
        if self.algorithm.quantizes and self.family.quant:
            rows['quant'] = dict(weight_bits=(4, 8), activation_bits=(4, 8), **self.family.quant)
        arguments = ''.join(f', {key}={value!r}' for key, value in rows.items())
        optim = ''.join(f', {key}={value!r}' for key, value in self.algorithm.optim.items())
        imports = ['razor_ext', *self.algorithm.imports]
        own = Config.fromfile(self.folder / 'dense.py').get('custom_imports') or {}
        imports += own.get('imports', [])
        common = f'custom_imports = dict(imports={imports!r}, allow_failed_imports=False)\n'
        texts = {
            'prune': f"""_base_ = ['dense.py', {str(self.algorithm.base)!r}]
{common}model = dict(
    _base_.{prefix}, _delete_=True, architecture={self.family.architecture},
    checkpoint={str(self.folder / 'dense.pth')!r}{arguments})
optim_wrapper = dict(_base_.{prefix}_optim{optim})
default_hooks = _base_.{prefix}_hooks
""",
            'finetune': f"""_base_ = ['dense.py', {str(_finetune_base())!r}]
{common}model = dict(_base_.finetune, _delete_=True, compressed={str(self.work_dir('prune'))!r})
optim_wrapper = dict(_base_.finetune_optim, lr_ratio=0.1)
default_hooks = _base_.finetune_hooks
train_cfg = dict(max_iters={FINETUNE_STEPS})
""",
            'deploy': self.family.deploy}
        paths = []
        for step, text in texts.items():
            path = self.folder / f'{self.algorithm.name}_{step}.py'
            path.write_text(text, encoding='utf-8')
            paths.append(path)
        return paths

    def config(self, step: str) -> Path:
        """Return the path of the config of a step: 'prune', 'finetune' or 'deploy'."""
        return self.folder / f'{self.algorithm.name}_{step}.py'

    def work_dir(self, run: str) -> Path:
        """Return the work directory of a run of any name."""
        return self.folder / 'work_dirs' / f'{self.algorithm.name}_{run}'

    def load(self, step: str, run: str | None = None, **changes: object) -> Config:
        """Load a config as tools/train.py does.

        Args:
            step: 'prune' or 'finetune'.
            run: name of the run, by default the step's.
            changes: top-level keys.
        """
        cfg = Config.fromfile(self.config(step))
        check_config(cfg)
        set_demo_input(cfg)
        cfg.work_dir = str(self.work_dir(run or step))
        cfg.experiment_name = cfg.work_dir.replace('/', '.')
        cfg.update(changes)
        return cfg

    def prune(self, run: str = 'prune', kill_at: int | None = None, **changes: object) -> Runner:
        """Run the pruning; from where it was killed if the run has been.

        Args:
            run: name of the run.
            kill_at: step, from 0, before which the run is killed.
            changes: top-level keys of the config.
        """
        begun = self.work_dir(run).exists()
        runner = Runner.from_cfg(self.load('prune', run, resume=begun, **changes))
        if kill_at is None:
            runner.train()
            return runner
        runner.register_hook(KillHook(kill_at))
        try:
            runner.train()
        except Killed:
            return runner
        raise AssertionError(f'the run has no step {kill_at}')

    def finetune(self, run: str = 'finetune', **changes: object) -> Runner:
        """Run the finetuning from the folder that pruning has left."""
        runner = Runner.from_cfg(self.load('finetune', run, **changes))
        runner.train()
        return runner

    def extract(self, checkpoint: Path, step: str = 'prune') -> Path:
        """Extract a checkpoint by tools/extract_compressed.py; returns the folder."""
        out = self.work_dir(f'extract_{checkpoint.stem}')
        _run_tool('extract_compressed', self.config(step), checkpoint, '--out', out)
        return out

    def export(self, run: str = 'finetune') -> dict:
        """Deploy what a run has left by tools/deploy.py; returns its report."""
        work_dir = self.work_dir(f'deploy_{run}')
        image, = self.folder.glob('input.*')
        _run_tool('deploy', self.config('deploy'), self.work_dir(run), image, '--work-dir',
                  work_dir, '--rounds', '0', '--log-level', 'ERROR',
                  # Weights that are nearly random amplify the rounding between layers.
                  *(['--integer-threshold', '2'] if self.algorithm.quantizes else []))
        return json.loads((work_dir / 'report.json').read_text(encoding='utf-8'))

    def check(self) -> dict:
        """Prune, resume a killed run, extract, finetune and export; returns the last report.

        Raises:
            AssertionError: resuming or extracting gives other bits than the run itself.
        """
        self.prune()
        self.prune('killed', kill_at=KILLED)
        self.prune('killed')
        assert_same_folder(self.work_dir('killed'), self.work_dir('prune'))
        assert_same_folder(self.extract(self.last_checkpoint()), self.work_dir('prune'))
        self.finetune()
        return self.export()

    def report(self, run: str = 'prune') -> dict[str, list[float]]:
        """Return what a run has reported, by name."""
        values: dict[str, list[float]] = {}
        for path in sorted(self.work_dir(run).rglob('scalars.json')):
            for line in path.read_text(encoding='utf-8').splitlines():
                for name, value in json.loads(line).items():
                    values.setdefault(name, []).append(value)
        return values

    def last_checkpoint(self, run: str = 'prune') -> Path:
        """Return the last checkpoint of a run."""
        return Path((self.work_dir(run) / 'last_checkpoint').read_text(encoding='utf-8'))


def _finetune_base() -> Path:
    return ROOT / 'configs' / 'pruning' / '_base_' / 'finetune.py'


def _run_tool(name: str, *arguments: object) -> None:
    with mock.patch.object(sys, 'argv', [name, *map(str, arguments)]):
        runpy.run_path(str(ROOT / 'tools' / f'{name}.py'), run_name='__main__')


def code_lines(path: Path) -> int:
    """Count the lines of a config that are code."""
    return sum(bool(line.strip()) and not line.strip().startswith('#')
               for line in path.read_text(encoding='utf-8').splitlines())


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a work directory's compressed folder."""
    return safe_load(load_compressed(folder).checkpoint_path)['state_dict']


def bit_widths(quant: Path) -> dict[str, int]:
    """Return the bits of every weight and activation of a quant.json."""
    bits = {}
    for name, layer in load_quant(quant)['layers'].items():
        grids = {**layer['activations'], 'weight': layer['weight']}
        bits.update({f'{name}.{side}': grid['bits'] for side, grid in grids.items() if grid})
    return bits


def assert_same_folder(one: Path, other: Path) -> None:
    """Check that two compressed folders hold the same bits.

    Args:
        one: the folder or the work directory of a run.
        other: likewise.
    """
    one, other = load_compressed(one).path, load_compressed(other).path
    names = {path.name for path in one.iterdir()}
    assert names == {path.name for path in other.iterdir()}
    for path in one.glob('*.json'):
        assert path.read_text() == (other / path.name).read_text(), path.name
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    for key, value in left.items():
        assert torch.equal(value, right[key]), key


def relative_difference(one: nn.Module, other: nn.Module, inputs: torch.Tensor) -> float:
    """Return the largest difference of two models' outputs over their largest output, in float64.

    Args:
        one: a model whose `mode='tensor'` gives tensors.
        other: likewise.
        inputs: batch, as the data preprocessor returns it.
    """
    with torch.no_grad():
        found, expected = (tree_flatten(model.double().eval()(
            inputs.double(), None, mode='tensor'))[0] for model in (one, other))
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected))
