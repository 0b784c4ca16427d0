"""Whole GroupFisher runs over the dependency graph: targets, files, resume, averages, ranks."""
from __future__ import annotations

import json
import runpy
import socket
import sys
from pathlib import Path

import pytest
import torch
from graph_fisher import HOOKS, graph_fisher
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmrazor.registry import MODELS
from ranks import NO_CLOCK, run_ranks
from tiny_geta import SHAPE, memoize_analysis
from tiny_pose import runner, tiny_rtmpose

from razor_ext.compat import safe_load
from razor_ext.pruning import NothingTrainedError, TargetMissedError

from . import rank_workers

ROOT = Path(__file__).parents[3]
EMA = dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.0002, update_buffers=True,
           priority=49)
CONFIG = graph_fisher(ratio=0.5, normalization='flops')


@pytest.fixture(scope='module', autouse=True)
def _analysed_once():
    with pytest.MonkeyPatch.context() as patch:
        memoize_analysis(patch.setattr)
        yield


@pytest.fixture(scope='module')
def finished(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A run of 12 steps that is averaged and leaves half of the MACs."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    run = runner(tmp_path_factory.mktemp('whole'), CONFIG, epochs=3,
                 hooks=(EMA, *HOOKS),
                 optim_wrapper=dict(type='OptimWrapper', clip_grad=dict(max_norm=35.),
                                    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=.05)))
    run.train()
    return run


def files(run: Runner) -> Path:
    return Path(run.work_dir) / 'compressed'


def sliced(folder: Path) -> torch.nn.Module:
    return MODELS.build(dict(
        _scope_='mmrazor', type='CompressedModel', architecture=tiny_rtmpose(),
        fix_subnet=str(folder / 'fix_subnet.json'), checkpoint=str(folder / 'compressed.pth'),
        demo_input=SHAPE)).eval()


def test_a_run_meets_its_target_in_head_and_backbone(finished: Runner) -> None:
    graph, counts = finished.model.mutator.graph, finished.model.structure()
    assert 0.4 < graph.macs(counts) / graph.total_macs <= 0.5
    assert counts['head.mlp.1_(0, 32)_32'] < 32
    assert counts == json.loads((files(finished) / 'fix_subnet.json').read_text())


def test_the_sliced_model_is_the_averaged_one_with_its_channels_masked(finished: Runner) -> None:
    """And it is smaller by what the graph says."""
    model = sliced(files(finished))
    average = next(hook for hook in finished.hooks if hasattr(hook, 'ema_model')).ema_model.module
    x = torch.randn(2, *SHAPE[1:])
    with torch.no_grad():
        average.eval()
        for one, other in zip(model(x, None), average(x)):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    graph = finished.model.mutator.graph
    assert sum(parameter.numel() for parameter in model.parameters()) == graph.params(
        finished.model.structure())


def test_pruned_channels_of_a_checkpoint_are_exactly_zero(finished: Runner) -> None:
    state = safe_load(Path(finished.work_dir) / 'epoch_3.pth')['state_dict']
    masks = finished.model.masks
    keep = masks.index(finished.model.architecture, finished.model.mutator).keep_masks(
        masks.pruned)
    for unit in finished.model.mutator.mutable_units:
        for member in unit.members:
            lost = member.indices[~keep[unit.name]].flatten()
            values = state[f'architecture.{member.name}'].index_select(member.dim, lost)
            assert values.eq(0).all(), member.name


@pytest.mark.parametrize('name', ['epoch_1.pth', 'epoch_2.pth'])
def test_a_resumed_run_ends_with_the_same_bits(finished: Runner, tmp_path: Path, name: str) -> None:
    """Importance per FLOP depends on the structure, which a resumed run learns only on loading."""
    whole = Path(finished.work_dir)
    again = runner(tmp_path, CONFIG, epochs=3, hooks=(EMA, *HOOKS), resume=True,
                   load_from=str(whole / name), optim_wrapper=finished.cfg.optim_wrapper)
    again.train()
    states = [run.model.state_dict() for run in (again, finished)]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    states = [safe_load(folder / 'compressed.pth')['state_dict']
              for folder in (files(finished), files(again))]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_a_checkpoint_is_extracted_as_the_run_has_written_it(
        finished: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture) -> None:
    whole = Path(finished.work_dir)
    Config(dict(default_scope='mmpose', model=CONFIG)).dump(tmp_path / 'prune.py')

    def extract(checkpoint: str) -> Path:
        out = tmp_path / Path(checkpoint).stem
        monkeypatch.setattr(sys, 'argv', ['extract_compressed', str(tmp_path / 'prune.py'),
                                          str(whole / checkpoint), '--out', str(out)])
        runpy.run_path(str(ROOT / 'tools' / 'extract_compressed.py'), run_name='__main__')
        return out

    out = extract('epoch_3.pth')
    states = [safe_load(folder / 'compressed.pth')['state_dict']
              for folder in (files(finished), out)]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert 'MACs' in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r'more than the target ratio 0\.5 allows'):
        extract('epoch_1.pth')


def test_the_sliced_model_is_finetuned(finished: Runner, tmp_path: Path) -> None:
    folder = files(finished)
    run = runner(tmp_path, dict(
        _scope_='mmrazor', type='CompressedModel', architecture=tiny_rtmpose(),
        fix_subnet=str(folder / 'fix_subnet.json'), checkpoint=str(folder / 'compressed.pth'),
        demo_input=SHAPE), epochs=1, hooks=(dict(type='mmrazor.CompressedModelHook'), ))
    run.train()
    assert (tmp_path / 'compressed' / 'fix_subnet.json').read_text() == (
        folder / 'fix_subnet.json').read_text()


def test_one_channel_per_interval_without_a_target(tmp_path: Path) -> None:
    run = runner(tmp_path, graph_fisher(schedule=dict(interval=2, end=1.0)), epochs=1, hooks=HOOKS)
    before = sum(run.model.structure().values())
    run.train()
    assert sum(run.model.structure().values()) == before - 2


def test_a_missed_target_is_an_error_that_says_where_it_got_to(tmp_path: Path) -> None:
    config = graph_fisher(ratio=0.5)
    run = runner(tmp_path, config, epochs=1, hooks=HOOKS)
    run.model.prune_at = lambda progress: None
    with pytest.raises(TargetMissedError, match=r'macs are left, .*% more than the target'):
        run.train()
    assert not (tmp_path / 'compressed').exists()


def test_an_unreachable_target_is_refused() -> None:
    with pytest.raises(ValueError, match=r'target ratio 0\.05 is beyond reach.*0\.\d+ of the'):
        MODELS.build(graph_fisher(ratio=0.05, min_ratio=0.5))


def test_configs_of_version_0_1_are_told_what_to_write() -> None:
    with pytest.raises(ValueError, match=r"set type='mmrazor\.GroupFisher' with target"):
        MODELS.build(dict(type='mmrazor.GroupFisherAlgorithm', architecture=tiny_rtmpose(),
                          mutator=dict(type='mmrazor.GraphGroupFisherMutator')))


def test_the_run_ends_with_the_epoch_of_the_last_pruning(tmp_path: Path) -> None:
    run = runner(tmp_path, graph_fisher(ratio=0.5, end=0.3), epochs=3, hooks=(
        dict(type='mmrazor.PruningHook', stop_when_pruned=True), ))
    run.train()
    assert run.epoch == 1 and (tmp_path / 'compressed' / 'compressed.pth').is_file()


@NO_CLOCK
def test_two_ranks_prune_what_one_prunes(tmp_path: Path) -> None:
    """Two gloo processes against one over the same global batch."""
    torch.manual_seed(0)
    torch.save(rank_workers.build().state_dict(), tmp_path / 'start.pth')
    rank_workers.train(0, 1, 0, str(tmp_path))
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    run_ranks(rank_workers.train, (2, port, str(tmp_path)))
    single, one, other = (torch.load(tmp_path / f'{name}.pth', weights_only=True)
                          for name in ('rank0of1', 'rank0of2', 'rank1of2'))
    assert all(torch.equal(value, other['state'][key]) for key, value in one['state'].items())
    torch.testing.assert_close(one['first'], single['first'], rtol=1e-3, atol=0)
    assert single['first'].min() > 0
    assert one['counts'] == single['counts'] and sum(single['counts'].values()) < 20


class HalfPrecision(OptimWrapper):
    """A loss scaler that finds no finite gradient, as on a GPU."""

    def __init__(self, calls_optimizer: bool, lowers: bool = True, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.scale, self.calls_optimizer, self.lowers = 1024., calls_optimizer, lowers
        self.loss_scaler = self

    def get_scale(self) -> float:
        return self.scale

    def step(self, **kwargs: object) -> None:
        if self.calls_optimizer:  # a fused one, which is told to leave all as it is
            self.optimizer.step()
        self.scale /= 2 if self.lowers else 1


class ShortRun(Hook):
    """Ends a run before its first iteration."""

    def before_train(self, run: Runner) -> None:
        run.train_loop._max_epochs = 0


def l1_run(folder: Path) -> Runner:
    model = dict(type='mmrazor.L1Pruning', architecture=tiny_rtmpose(), demo_input=SHAPE,
                 target=dict(kind='macs', ratio=.5))
    return runner(folder, model, epochs=1, hooks=HOOKS)


@pytest.mark.parametrize('calls_optimizer, lowers, trained', [
    (False, True, False), (True, True, False), (False, False, False), (True, False, True)])
def test_mixed_precision_that_skips_every_step(tmp_path: Path, calls_optimizer: bool, lowers: bool,
                                               trained: bool) -> None:
    run = l1_run(tmp_path)
    run.optim_wrapper = HalfPrecision(calls_optimizer, lowers, optimizer=torch.optim.AdamW(
        run.model.parameters(), lr=1e-3))
    if trained:
        run.train()
    else:
        with pytest.raises(NothingTrainedError, match='every step of the 4 iterations was skipped'):
            run.train()
    assert (tmp_path / 'compressed').exists() == trained


def test_a_run_without_an_iteration(tmp_path: Path) -> None:
    run = l1_run(tmp_path)
    run.register_hook(ShortRun())
    with pytest.raises(NothingTrainedError, match='the run had no iteration'):
        run.train()
    assert not (tmp_path / 'compressed').exists()


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    class Poison(Hook):

        def after_train_iter(self, run: Runner, *args: object, **kwargs: object) -> None:
            if run.iter == 3:
                run.model.architecture.head.cls_x.weight.data[0] = float('inf')

    run = l1_run(tmp_path)
    run.register_hook(Poison())
    with pytest.raises(ValueError, match=r'1 parameters or stat.* infinite \(first: head\.cls_x'):
        run.train()
    assert not (tmp_path / 'compressed').exists()


def test_hooks_of_the_dense_training_find_the_parts_of_the_model(tmp_path: Path) -> None:
    """MMPose's and MMDetection's set `runner.model.head.use_aux_loss` and the like."""
    class ModeSwitchHook(Hook):

        def before_train_epoch(self, run: Runner) -> None:
            run.model.head.use_aux_loss = True

    run = l1_run(tmp_path)
    run.register_hook(ModeSwitchHook())
    run.train()
    assert run.model.architecture.head.use_aux_loss
    assert not any(key.startswith('head.') for key in run.model.state_dict())
    with pytest.raises(AttributeError, match="no attribute 'heads'"):
        _ = run.model.heads
