"""What compression without training leaves is what a pruning run leaves, and goes on as that does.
"""
from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator

import pytest
from mmengine.config import Config
from mmrazor.registry import MODELS

from razor_ext.engine.json_file import read_json
from razor_ext.posttraining.algorithm import PostTraining
from razor_ext.quantization import count_costs, summarize_costs
from razor_ext.structure import load_compressed
from tests.algorithms.contract import ROOT, Contract, assert_same_folder, bit_widths, quick_toy
from tests.algorithms.settings import CONFIGS, FAMILIES, Algorithm

ROW = Algorithm(
    'post_training', CONFIGS / 'pruning/_base_/post_training.py', 'post_training', dict(quant=dict(
        weight_bits=(4, 8), activation_bits=(4, 8), weight_granularity='channel',
        weight_power=False)), quantizes=True)
FAMILY = FAMILIES['toy']


@pytest.fixture(scope='module', autouse=True)
def _quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with quick_toy(tmp_path_factory.mktemp('site')):
        yield


@pytest.fixture(scope='module')
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    folder = tmp_path_factory.mktemp('toy')
    FAMILY.write(folder)
    contract = Contract(ROW, FAMILY, folder)
    contract.write_configs()
    # A pruning run has an optimizer and hooks; this has none.
    text = contract.config('prune').read_text()
    contract.config('prune').write_text(''.join(
        line for line in text.splitlines(keepends=True)
        if not line.startswith(('optim_wrapper', 'default_hooks'))))
    post_train(contract, 'prune', 'mean_bits=6.0')
    return contract


def post_train(contract: Contract, run: str, *options: str, images: int = 80) -> None:
    arguments = ['post_train', str(contract.config('prune')), '--work-dir',
                 str(contract.work_dir(run)), '--images', str(images)]
    if options:
        arguments += ['--cfg-options', *(f'model.{option}' for option in options)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', arguments)
        runpy.run_path(str(ROOT / 'tools' / 'post_train.py'), run_name='__main__')


def test_the_target_is_met_and_bits_keep_their_mean(contract: Contract) -> None:
    folder = load_compressed(contract.work_dir('prune'))
    algorithm = MODELS.build(Config.fromfile(contract.config('prune')).model)
    assert isinstance(algorithm, PostTraining)
    graph = algorithm.mutator.graph
    assert set(folder.structure) == {unit.name for unit in graph.units}
    assert 0.25 < graph.macs(folder.structure) / graph.total_macs <= 0.5
    widths = bit_widths(folder.quant_path)
    assert set(widths.values()) <= set(range(4, 9))
    assert len(set(widths.values())) > 1  # they are searched, and not all alike
    record = read_json(contract.work_dir('prune') / 'post_training.json')
    assert 4 <= len(record['variants']) <= 7
    assert record['variants'][record['chosen']] == min(record['variants'].values())
    assert record['images'] == 80


def test_it_is_finetuned_and_exported_as_any_run(contract: Contract) -> None:
    contract.finetune()
    before, after = (load_compressed(contract.work_dir(run)) for run in ('prune', 'finetune'))
    assert before.structure == after.structure
    assert bit_widths(before.quant_path) == bit_widths(after.quant_path)
    report = contract.export('finetune')
    assert report['parity'][0]['max_abs'] < 1e-4
    assert {layer['layer'] for layer in report['quantization']['integer_layers']} >= {
        'conv1', 'conv2', 'mix', 'head'}
    assert report['quantization']['parity_on_calibration'][0]['relative_l2'] < 0.2


def test_the_same_again_gives_the_same_files(contract: Contract) -> None:
    post_train(contract, 'again', 'mean_bits=6.0')
    assert_same_folder(contract.work_dir('again'), contract.work_dir('prune'))


def test_bit_operations_are_shared_between_pruning_and_bits(contract: Contract) -> None:
    post_train(contract, 'bops', 'target.kind=bops', 'target.ratio=0.02', 'scores=[l1]')
    folder = load_compressed(contract.work_dir('bops'))
    algorithm = MODELS.build(Config.fromfile(contract.config('prune')).model)
    model = MODELS.build(dict(type='mmrazor.CompressedModel', compressed=str(folder.path)))
    left = summarize_costs(count_costs(model, algorithm.mutator.demo_data(model)),
                           algorithm.mutator.graph.total_macs)
    assert 0.015 < left['relative_bops'] <= 0.02
    record = read_json(contract.work_dir('bops') / 'post_training.json')
    assert len(record['splits']) > 1


def test_quantizing_alone_and_pruning_alone(contract: Contract) -> None:
    post_train(contract, 'whole', 'target=None')
    folder = load_compressed(contract.work_dir('whole'))
    assert set(bit_widths(folder.quant_path).values()) == {8}
    post_train(contract, 'float', 'quant=None', 'scores=[random]')
    assert load_compressed(contract.work_dir('float')).quant_path is None


@pytest.mark.parametrize(('options', 'images', 'expected'), [
    (['target.ratio=0.001'], 80, 'beyond reach'),
    (['scores=[magic]'], 80, 'magic'),
    (['mean_bits=2.0'], 80, 'mean_bits=2.0 lies outside'),
    ([], 8, 'two batches'),
])
def test_mistakes_end_with_one_line(contract: Contract, options: list[str], images: int,
                                    expected: str) -> None:
    with pytest.raises(SystemExit, match=expected):
        post_train(contract, 'wrong', *options, images=images)
    assert not (contract.work_dir('wrong') / 'compressed').exists()


def test_it_is_not_trained(contract: Contract) -> None:
    algorithm = MODELS.build(Config.fromfile(contract.config('prune')).model)
    with pytest.raises(RuntimeError, match=r'tools/post_train\.py'):
        algorithm.start(None, 10)
