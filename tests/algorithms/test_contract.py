"""Prune, resume, extract, finetune, export: what every algorithm and every model family keeps."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmrazor.registry import MODELS

from razor_ext.pruning import TargetMissedError, extract
from razor_ext.pruning.export import finished_copy
from razor_ext.quantization import fix_bits, quantizer_handles
from razor_ext.structure import load_compressed
from razor_ext.structure.rebuild import UnprunedError
from razor_ext.structure.slicing import static_copy
from tests.gait.gait_compression import ZOO

from .contract import (
    EMA,
    KILLED,
    MOST_LINES,
    Contract,
    assert_same_folder,
    bit_widths,
    code_lines,
    quick_toy,
    relative_difference,
    weights,
)
from .settings import ALGORITHMS, FAMILIES, STEPS

#: Rows of the regular run: every algorithm on the toy, GETA on one model of each kind.
_QUICK = [*((algorithm, 'toy') for algorithm in ALGORITHMS),
          *(('geta', family) for family in FAMILIES
            if family not in ('toy', 'swin', 'detection', *ZOO)),
          ('geta', 'deepgaitv2-p3d')]
_SLOW = [*(('geta', family) for family in FAMILIES if family == 'detection'),
         *((algorithm, 'swin') for algorithm in ('geta_prune_only', 'group_fisher', 'l1')),
         ('group_fisher', 'deepgaitv2-p3d'), ('geta', 'gaitset'),
         ('group_fisher', 'gaitset'), ('geta', 'gaitpart'),
         ('group_fisher', 'gaitpart'), ('geta', 'gln'), ('group_fisher', 'gln'),
         *((algorithm, family) for algorithm in ('geta', 'group_fisher')
           for family in ('skeletongait', 'skeletongaitpp', 'multigaitpp'))]
ROWS = [*_QUICK, *(pytest.param(row, marks=pytest.mark.slow) for row in _SLOW)]
#: Step of the first checkpoint, before anything is pruned.
FIRST = 4


@pytest.fixture(scope='module', autouse=True)
def _quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with quick_toy(tmp_path_factory.mktemp('site')):
        yield


@dataclass(frozen=True)
class Finished:
    """A contract whose pruning and finetuning are done."""

    contract: Contract
    pruned: Runner
    tuned: Runner

    @property
    def work_dir(self) -> Path:
        """Work directory of the pruning run."""
        return self.contract.work_dir('prune')


@pytest.fixture(scope='module', params=ROWS, ids=lambda row: '-'.join(row))
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    algorithm, family = (table[name] for table, name in zip((ALGORITHMS, FAMILIES), request.param))
    folder = tmp_path_factory.mktemp('-'.join(request.param))
    family.write(folder)
    contract = Contract(algorithm, family, folder)
    contract.write_configs()
    return Finished(contract, contract.prune(), contract.finetune())


def test_three_configs_are_short(finished: Finished) -> None:
    for step in ('prune', 'finetune', 'deploy'):
        assert code_lines(finished.contract.config(step)) <= MOST_LINES


def test_the_target_is_met_and_reported(finished: Finished) -> None:
    contract, algorithm = finished.contract, finished.pruned.model
    graph, structure = algorithm.mutator.graph, load_compressed(finished.work_dir).structure
    assert structure == algorithm.structure() and set(structure) == {u.name for u in graph.units}
    left = graph.macs(structure) / graph.total_macs
    assert 0.25 < left <= 0.5
    report = contract.report()
    title = type(algorithm).title
    wanted = {'sparsity', 'macs', 'params'} | ({'weight_bits'} if algorithm.quantizes else set())
    assert wanted <= {name.removeprefix(f'{title}/') for name in report}
    assert report[f'{title}/macs'][-1] == pytest.approx(graph.macs(structure))
    assert report[f'{title}/params'][-1] == pytest.approx(graph.params(structure))


def test_the_folder_holds_what_the_algorithm_promises(finished: Finished) -> None:
    names = {path.name for path in load_compressed(finished.work_dir).path.iterdir()}
    assert names == {'config.py', 'fix_subnet.json', 'compressed.pth', 'units.json'} | (
        {'quant.json'} if finished.contract.algorithm.quantizes else set())


def test_the_sliced_model_is_the_masked_one(finished: Finished) -> None:
    algorithm = finished.pruned.model
    masked = static_copy(algorithm.architecture)
    if finished.contract.algorithm.quantizes:
        fix_bits(masked)
    init_default_scope(finished.pruned.cfg.default_scope)
    sliced = MODELS.build(dict(type='mmrazor.CompressedModel', compressed=str(finished.work_dir)))
    assert sum(p.numel() for p in sliced.parameters()) < sum(p.numel() for p in masked.parameters())
    shape = algorithm.mutator.demo_data(masked)['inputs'].shape
    inputs = torch.rand(2, *shape[1:], generator=torch.Generator().manual_seed(0))
    assert relative_difference(sliced, masked, inputs) < 1e-9


def test_a_killed_run_resumes_to_the_same_bits(finished: Finished) -> None:
    contract = finished.contract
    contract.prune('killed', kill_at=KILLED)
    assert not (contract.work_dir('killed') / 'compressed').exists()
    again = contract.prune('killed')
    assert again._resume and again.iter == STEPS
    assert_same_folder(contract.work_dir('killed'), finished.work_dir)


def test_the_last_checkpoint_is_extracted_as_the_run_has_written_it(finished: Finished) -> None:
    contract = finished.contract
    assert_same_folder(contract.extract(contract.last_checkpoint()), finished.work_dir)


def test_finetuning_trains_the_weights_and_keeps_structure_and_bits(finished: Finished) -> None:
    before, after = (load_compressed(finished.contract.work_dir(run))
                     for run in ('prune', 'finetune'))
    assert before.structure == after.structure
    if before.quant_path is not None:
        bits = [bit_widths(folder.quant_path) for folder in (before, after)]
        assert bits[0] == bits[1] and bits[0]
    one, other = weights(before.path), weights(after.path)
    assert one.keys() == other.keys()
    assert any(not torch.equal(value, other[key]) for key, value in one.items())
    assert all(torch.isfinite(value).all() for value in other.values())


def test_the_exported_file_is_the_finetuned_model(finished: Finished) -> None:
    report = finished.contract.export()
    assert report['parity'] and all(
        row['max_abs'] <= 1e-4 * max(1., row['scale']) for row in report['parity'])
    if not finished.contract.algorithm.quantizes:
        assert report.get('quantization') is None
        return
    figures = report['quantization']
    assert figures['integer_layers']
    assert max(row['integer'] for row in figures['integer_layers']) <= 1.001


def test_an_averaged_run_writes_the_average(finished: Finished) -> None:
    run = finished.contract.prune('averaged', custom_hooks=[EMA])
    hook, = (hook for hook in run.hooks if hasattr(hook, 'ema_model'))
    average = finished_copy(run.model.architecture, hook.ema_model.module.architecture)
    if finished.contract.algorithm.quantizes:
        fix_bits(average)
    sliced = MODELS.build(dict(type='mmrazor.CompressedModel', compressed=run.work_dir))
    inputs = torch.rand(2, *run.model.mutator.demo_data(average)['inputs'].shape[1:])
    assert relative_difference(sliced, average, inputs) < 1e-9
    final = static_copy(run.model.architecture)
    assert relative_difference(final, average, inputs) > 1e-6


@pytest.mark.parametrize('step', ['prune', 'finetune'])
def test_other_checkpoints_are_refused(finished: Finished, step: str) -> None:
    contract = finished.contract
    dense, early = str(contract.folder / 'dense.pth'), str(
        finished.work_dir / f'iter_{FIRST}.pth')
    cfg = contract.load(step)
    if step == 'prune':
        with pytest.raises(ValueError, match=r'dense\.pth.* is not of the pruning run of this con'):
            extract(cfg, dense)
        with pytest.raises((UnprunedError, TargetMissedError),
                           match=r'nothing was pruned yet|more than the target ratio 0\.5 al'):
            extract(cfg, early)
    else:
        for checkpoint in (dense, early):
            with pytest.raises((UnprunedError, ValueError), match=r'is not sliced|not of this str'):
                MODELS.build({**cfg.model, 'checkpoint': checkpoint})


def test_quantizers_are_where_they_belong(finished: Finished) -> None:
    for run in (finished.pruned, finished.tuned):
        assert bool(quantizer_handles(run.model)) == finished.contract.algorithm.quantizes
