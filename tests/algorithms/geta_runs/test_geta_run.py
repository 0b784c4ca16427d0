"""GETA through MMEngine's Runner: what a run leaves behind, for every choice of target."""
from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from mmengine.runner import Runner
from mmrazor.registry import MODELS
from tiny_geta import HOOKS, SHAPE, STAGES, geta, geta_runner, optim
from tiny_pose import batch, tiny_rtmpose

from razor_ext.algorithms.geta.bit_tables import by_layer
from razor_ext.compat import safe_load
from razor_ext.pruning.costs import StructureCosts
from razor_ext.quantization import (
    count_costs,
    fix_bits,
    float_mode,
    load_quant,
    quantized_layers,
    summarize_costs,
)
from razor_ext.structure.slicing import static_copy


def files(run: Runner) -> Path:
    return Path(run.work_dir) / 'compressed'


def structure(run: Runner) -> dict[str, int]:
    return json.loads((files(run) / 'fix_subnet.json').read_text())


def rebuilt(run: Runner) -> torch.nn.Module:
    quant = files(run) / 'quant.json'
    return MODELS.build(dict(
        _scope_='mmrazor', type='CompressedModel', demo_input=SHAPE,
        architecture=dict(run.cfg.model.architecture),
        fix_subnet=str(files(run) / 'fix_subnet.json'),
        quant=str(quant) if quant.is_file() else None,
        checkpoint=str(files(run) / 'compressed.pth'))).eval()


def masked(run: Runner) -> torch.nn.Module:
    """The trained model, its dead channels still there, its bit widths fixed."""
    model = static_copy(run.model.architecture).eval()
    fix_bits(model)
    return model


def relative_difference(left: torch.nn.Module, right: torch.nn.Module) -> float:
    inputs = left.data_preprocessor(batch(0, 4), False)['inputs']
    inputs = inputs.to(next(left.parameters()).dtype)
    with torch.no_grad():
        pairs = list(zip(left(inputs, None), right(inputs, None)))
    for _, output in pairs:  # a model that answers the same to every input proves nothing
        assert (output - output.mean(0)).abs().max() > 1e-4 * output.abs().max()
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def check_same(left: torch.nn.Module, right: torch.nn.Module) -> None:
    """Exact in float; on grids, a sum in another order can take an activation to the next step."""
    with float_mode(left), float_mode(right):
        assert relative_difference(left.double(), right.double()) < 1e-9
    left.float(), right.float()
    assert relative_difference(left, right) < 0.05


@pytest.mark.smoke
def test_a_joint_run_leaves_a_sliced_model_equal_to_the_masked_one(joint: Runner) -> None:
    sliced = rebuilt(joint)
    check_same(sliced, masked(joint))
    dense = sum(p.numel() for p in MODELS.build(tiny_rtmpose()).parameters())
    assert sum(p.numel() for p in sliced.parameters()) < dense


def test_the_structure_names_every_unit_and_meets_the_target(joint: Runner) -> None:
    graph = joint.model.mutator.graph
    counts = structure(joint)
    assert list(counts) == [unit.name for unit in graph.units]
    assert graph.macs(counts) <= 0.5 * graph.total_macs
    costs = summarize_costs(count_costs(rebuilt(joint), joint.model.mutator.demo_data(
        MODELS.build(tiny_rtmpose()))))
    assert costs['macs'] == graph.macs(counts)
    assert costs['params'] == graph.params(counts)


def test_all_bits_are_whole_and_in_their_range(joint: Runner) -> None:
    spec = load_quant(files(joint) / 'quant.json')
    grids = [grid for layer in spec['layers'].values()
             for grid in (layer['weight'], *layer['activations'].values()) if grid]
    assert len(grids) == len(joint.optim_wrapper.optimizer.frozen_bits)
    assert all(4 <= grid['bits'] <= 8 for grid in grids)
    assert {grid['bits'] for grid in grids} == set(
        joint.optim_wrapper.optimizer.frozen_bits.values())


def test_dead_channels_are_zero_where_made_and_where_read(joint: Runner) -> None:
    parameters = dict(joint.model.architecture.named_parameters())
    masks = joint.optim_wrapper.optimizer.keep_masks()
    seen = set()
    for unit in joint.model.mutator.mutable_units:
        dead = ~masks[unit.name]
        for member in unit.members:
            if member.name in parameters and dead.any():
                rows = parameters[member.name].index_select(
                    member.dim, member.indices[dead].reshape(-1))
                assert not rows.any(), (unit.name, member.name)
                seen.add(member.role)
    assert seen == {'in', 'out'}


def test_progress_goes_to_the_visualizer(joint: Runner) -> None:
    path = next(Path(joint.work_dir).rglob('scalars.json'))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row for row in rows if 'geta/sparsity' in row]
    assert [row['step'] for row in rows] == list(range(2, 21, 2))
    for key in ('sparsity', 'weight_bits', 'activation_bits', 'macs', 'bops', 'relative_bops',
                'params', 'skipped_steps'):
        assert f'geta/{key}' in rows[-1]
    assert rows[0]['geta/weight_bits'] == pytest.approx(16, abs=1e-3)
    assert rows[0]['geta/sparsity'] == 0 < rows[-1]['geta/sparsity']
    assert 4 <= rows[-1]['geta/weight_bits'] <= 8
    graph = joint.model.mutator.graph
    assert rows[-1]['geta/macs'] == graph.macs(structure(joint))


@pytest.mark.parametrize('change', [dict(quant=None), dict(target=None)],
                         ids=['prune only', 'quantize only'])
def test_one_value_switches_pruning_or_quantizing_off(tmp_path: Path, dense: Path,
                                                      change: dict) -> None:
    run = geta_runner(tmp_path, geta(dense, **change))
    run.train()
    counts, graph = structure(run), run.model.mutator.graph
    sliced = rebuilt(run)
    check_same(sliced, masked(run))
    if 'quant' in change:
        assert not (files(run) / 'quant.json').exists() and not quantized_layers(sliced)
        assert graph.macs(counts) <= 0.5 * graph.total_macs
    else:
        assert counts == run.model.mutator.choice_template
        assert len(quantized_layers(sliced)) > 30


@pytest.mark.parametrize('target, divisor', [
    (dict(kind='sparsity', ratio=0.5), 1), (dict(kind='sparsity', ratio=0.5), 4),
    (dict(kind='params', ratio=0.4), 4), (dict(kind='bops', ratio=0.03), 1)],
    ids=['sparsity', 'sparsity of 4', 'params of 4', 'bops'])
def test_targets_are_met(tmp_path: Path, dense: Path, target: dict, divisor: int) -> None:
    run = geta_runner(tmp_path, geta(
        dense, target=target,
        mutator=dict(type='GETAMutator', demo_input=SHAPE, divisor=divisor)))
    run.train()
    counts, graph = structure(run), run.model.mutator.graph
    dense_counts = run.model.mutator.choice_template
    assert all(counts[name] in (size, counts[name] // divisor * divisor)
               for name, size in dense_counts.items())
    if target['kind'] == 'sparsity':
        groups = sum(dense_counts.values())
        assert groups - sum(counts.values()) == int(groups * target['ratio'])
    elif target['kind'] == 'params':
        assert graph.params(counts) <= target['ratio'] * graph.total_params
    else:
        costs = summarize_costs(count_costs(rebuilt(run), run.model.mutator.demo_data(run.model)))
        assert 0.97 * target['ratio'] < costs['bops'] / (graph.total_macs * 1024) <= target['ratio']


def test_bits_are_spent_where_they_spare_most_up_to_a_mean() -> None:
    model = MODELS.build(geta(quant=dict(weight_bits=(3, 8), activation_bits=(3, 8),
                                         mean_bits=5), target=None))
    names = list(model.bit_ranges())
    losses = [100. if 'stage4' in name else 1. for name in names]
    bits = dict(zip(names, model.bit_chooser()(losses)))
    costs = StructureCosts(model.architecture, model.mutator)
    mixed, uniform = (costs.summary(model.structure(), by_layer(model.architecture, widths))['bops']
                      for widths in (bits, dict.fromkeys(names, 5)))
    assert 0.99 * uniform < mixed <= uniform
    assert len(set(bits.values())) > 2 and {3, 8} & set(bits.values())
    assert MODELS.build(geta()).bit_chooser() is None


@pytest.mark.parametrize('kind, options', [
    ('HESSO', {}), ('OTOHESSO', dict(variant='adamw'))])
def test_other_optimizers_prune_to_the_same_count(tmp_path: Path, dense: Path, kind: str,
                                                  options: dict) -> None:
    pytest.importorskip('only_train_once')
    stages = dict(warmup=3, projection=0, pruning=8, pruning_periods=2)
    paramwise = {} if kind == 'HESSO' else dict(paramwise_cfg=None)
    model = geta(dense, quant=None, stages=stages, target=dict(kind='sparsity', ratio=0.5))
    if kind == 'OTOHESSO':  # its format holds no unit whose channels are several rows
        model['architecture']['backbone']['channel_attention'] = False
        model['mutator'] = dict(type='GETAMutator', demo_input=SHAPE, keep=['head.gau'])
    run = geta_runner(tmp_path, model, optim_wrapper=optim(kind, paramwise, **options))
    run.train()
    sizes = run.model.mutator.choice_template
    assert sum(sizes.values()) - sum(structure(run).values()) == sum(sizes.values()) // 2
    check_same(rebuilt(run), masked(run))


def test_an_averaged_model_is_pruned_and_is_what_is_written(tmp_path: Path, dense: Path) -> None:
    """RTMPose trains with EMA over buffers: dead channels and old bit widths must not come back."""
    ema = dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.2, update_buffers=True,
               priority=49)
    run = geta_runner(tmp_path, geta(dense), hooks=(ema, *HOOKS))
    run.train()
    state = safe_load(tmp_path / 'epoch_5.pth')['state_dict']
    average = copy.deepcopy(run.model)
    average.load_state_dict(state)
    index = average.mutator.channel_index(average.architecture)
    assert torch.equal(index.zeros(), run.optim_wrapper.optimizer.pruned)
    fix_bits(average.architecture)
    check_same(rebuilt(run), average.architecture.eval())
    assert relative_difference(rebuilt(run), masked(run)) > 1e-4


@METRICS.register_module(force=True)
class NoMetric(BaseMetric):
    """Looks at nothing."""

    def process(self, data_batch: object, data_samples: object) -> None:
        self.results.append(0)

    def compute_metrics(self, results: list) -> dict:
        return {}


def test_averages_evaluate_in_the_middle_of_a_run(tmp_path: Path, dense: Path) -> None:
    """Validation swaps the average in, whose scales must be set by then."""
    ema = dict(type='EMAHook', momentum=0.1, update_buffers=True, priority=49)
    loader = dict(batch_size=8, num_workers=0, dataset=dict(type='DotPeople'),
                  sampler=dict(type='DefaultSampler', shuffle=False))
    run = geta_runner(tmp_path, geta(dense, stages=dict(STAGES, pruning_periods=1)), epochs=3,
                      hooks=(ema, *HOOKS), val_dataloader=loader, val_cfg=dict(),
                      val_evaluator=dict(type='NoMetric'))
    model, seen = run.model, []

    def val_step(data: dict) -> list:
        inputs = model.data_preprocessor(data, False)['inputs']
        seen.extend(float(x.abs().max()) for x in model(inputs))
        return [None]

    model.val_step = val_step
    run.train()
    assert len(seen) == 6 and all(1e-4 < value < 1e4 for value in seen)


def test_accumulation_counts_optimizer_steps(tmp_path: Path, dense: Path) -> None:
    run = geta_runner(tmp_path, geta(dense, stages=dict(STAGES, pruning_periods=1)),
                      optim_wrapper=optim(wrapper=dict(accumulative_counts=2)))
    run.train()
    optimizer = run.optim_wrapper.optimizer
    assert optimizer.plan.total == optimizer.steps == 10
    check_same(rebuilt(run), masked(run))


def test_settings_by_parameter_and_rates_of_scales(joint: Runner) -> None:
    """Norms and biases do not decay, scales form a group of their own."""
    groups = joint.optim_wrapper.optimizer.param_groups
    assert len(groups) <= 4
    decays = {id(p): group['weight_decay'] for group in groups for p in group['params']}
    named = dict(joint.model.architecture.named_parameters())
    assert decays[id(named['backbone.stem.0.conv.weight'])] == .05
    assert decays[id(named['backbone.stem.0.bn.weight'])] == 0
    assert decays[id(named['backbone.stem.0.conv.weight_quantizer.log_d'])] == 0
    assert sum(len(group['params']) for group in groups) == len(
        {id(p) for p in named.values() if p.requires_grad})


def test_layers_may_have_bits_of_their_own(tmp_path: Path, dense: Path) -> None:
    name = 'backbone.stem.0.conv'
    quant = dict(weight_bits=(3, 4), activation_bits=None, start_bits=10,
                 layers={name: dict(weight_bits=(8, 8), activation_bits=(8, 8))},
                 float_layers={'head.final_layer': 'decides the keypoints'})
    run = geta_runner(tmp_path, geta(dense, quant=quant, target=None))
    run.train()
    layers = load_quant(files(run) / 'quant.json')['layers']
    assert layers[name]['weight']['bits'] == layers[name]['activations']['input']['bits'] == 8
    assert all(layer['weight']['bits'] in (3, 4) and not layer['activations']
               for key, layer in layers.items() if key != name and layer['weight'])
    assert 'head.final_layer' not in layers


def test_names_can_be_kept_whole(dense: Path) -> None:
    model = MODELS.build(geta(dense, mutator=dict(
        type='GETAMutator', demo_input=SHAPE, keep=['backbone.stem.1'])))
    names = list(model.mutator.choice_template)
    assert not any(name.startswith(('backbone.stem.0', 'backbone.stem.1')) for name in names)
    assert any(name.startswith('backbone.stem.2') for name in names)
    template = model.mutator.config_template(with_channels=True, with_unit_init_args=True)
    assert list(template) == names
    assert template[names[0]]['channels']['input_related']


def test_the_dense_model_teaches(tmp_path: Path, dense: Path) -> None:
    output = dict(recorder='head', data_idx=None)
    distiller = dict(
        type='ConfigurableDistiller',
        student_recorders=dict(head=dict(type='ModuleOutputs', source='head.cls_x')),
        teacher_recorders=dict(head=dict(type='ModuleOutputs', source='head.cls_x')),
        distill_losses=dict(loss_kd=dict(type='L2Loss', loss_weight=1.)),
        loss_forward_mappings=dict(loss_kd=dict(s_feature=dict(output, from_student=True),
                                                t_feature=dict(output, from_student=False))))
    run = geta_runner(tmp_path, geta(dense, distiller=distiller))
    run.train()
    dense_state = safe_load(dense)['state_dict']
    for key, value in run.model.teacher.state_dict().items():
        assert torch.equal(value, dense_state[key]), key
    rows = [json.loads(line) for line in next(tmp_path.rglob('scalars.json')).read_text()
            .splitlines()]
    assert any(row.get('loss_kd', 0) > 0 for row in rows)
    check_same(rebuilt(run), masked(run))
    with pytest.raises(ValueError, match=r'set the checkpoint of the dense model as architecture'):
        MODELS.build(geta(distiller=distiller)).init_weights()


def test_one_word_lets_the_dense_model_teach(tmp_path: Path, dense: Path, joint: Runner) -> None:
    run = geta_runner(tmp_path, geta(dense, distill=True))
    run.train()
    dense_state = safe_load(dense)['state_dict']
    for key, value in run.model.distillation.teacher.model.state_dict().items():
        assert torch.equal(value, dense_state[key]), key
    rows = [json.loads(line) for line in next(tmp_path.rglob('scalars.json')).read_text()
            .splitlines()]
    assert sum(row.get('loss_distill', 0) > 0 for row in rows) > 3
    # The teacher is in no checkpoint, and what is left is the same as without one.
    state = safe_load(tmp_path / 'epoch_5.pth')['state_dict']
    assert set(state) == set(joint.model.state_dict())
    check_same(rebuilt(run), masked(run))
    with pytest.raises(ValueError, match='set the checkpoint of the dense model'):
        MODELS.build(geta(distill=True)).init_weights()
    with pytest.raises(ValueError, match='distill and distiller are both set'):
        MODELS.build(geta(dense, distill=True, distiller=dict(type='ConfigurableDistiller')))


def test_batches_are_the_same_with_and_without_calibration(tmp_path: Path, dense: Path) -> None:
    """Calibration has a dataloader of its own: an endless sampler would go on where it stopped."""
    seen = {}
    for name, quant in (('quantized', geta(dense)['quant']), ('float', None)):
        run = geta_runner(
            tmp_path / name, geta(dense, quant=quant, stages=dict(STAGES, pruning_periods=1)),
            train_dataloader=dict(batch_size=2, num_workers=0, dataset=dict(type='DotPeople'),
                                  sampler=dict(type='InfiniteSampler', shuffle=True)),
            train_cfg=dict(by_epoch=False, max_iters=10))
        step, batches = run.model.train_step, []

        def record(data: dict, optim_wrapper: object, step=step, batches=batches) -> dict:
            batches.append(float(sum(x.sum() for x in data['inputs'])))
            return step(data, optim_wrapper)

        run.model.train_step = record
        run.train()
        seen[name] = batches
    assert seen['quantized'] == seen['float'] and len(set(seen['float'])) > 1
