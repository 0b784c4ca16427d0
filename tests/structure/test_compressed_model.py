"""CompressedModel: rebuilt from files, finetuned, and what it refuses."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner
from mmrazor.registry import MODELS
from tiny_geta import SHAPE, optim
from tiny_pose import batch, group_fisher, runner, tiny_rtmpose

from razor_ext.compat import safe_load
from razor_ext.quantization import QuantFileError, load_quant, quantized_layers
from razor_ext.structure import StructureError, load_compressed
from razor_ext.structure.rebuild import UnprunedError, load_sliced


def config(folder: str | Path, **overrides: object) -> dict:
    return dict(dict(
        _scope_='mmrazor', type='CompressedModel', architecture=tiny_rtmpose(), demo_input=SHAPE,
        fix_subnet=f'{folder}/fix_subnet.json', quant=f'{folder}/quant.json',
        checkpoint=f'{folder}/compressed.pth'), **overrides)


def outputs(model: torch.nn.Module) -> list[torch.Tensor]:
    model.eval()
    inputs = model.data_preprocessor(batch(0, 4), False)['inputs']
    with torch.no_grad():
        return list(model(inputs, None))


@pytest.fixture
def folder(joint: Runner, tmp_path: Path) -> Path:
    """A copy of what the joint run has left."""
    for name in ('fix_subnet.json', 'quant.json', 'compressed.pth'):
        shutil.copy(load_compressed(joint.work_dir).path / name, tmp_path / name)
    return tmp_path


def test_finetuning_trains_and_writes_what_it_needs_again(folder: Path) -> None:
    """The files of the finetune run rebuild the finetuned model, bit for bit."""
    work_dir = folder / 'finetune'
    ema = dict(type='EMAHook', momentum=0.2, update_buffers=True, priority=49)
    run = runner(work_dir, config(folder), epochs=2,
                 hooks=(ema, dict(type='mmrazor.CompressedModelHook')),
                 optim_wrapper=optim('AdamW', lr_quant=1e-3))
    run.train()
    assert (work_dir / 'fix_subnet.json').read_text() == (folder / 'fix_subnet.json').read_text()
    before, after = (load_quant(path / 'quant.json') for path in (folder, work_dir))
    bits = [{name: layer['weight']['bits'] for name, layer in spec['layers'].items()
             if layer['weight']} for spec in (before, after)]
    assert bits[0] == bits[1] and before != after
    scales = run.optim_wrapper.optimizer.param_groups[-1]
    assert scales['lr'] == 1e-3 and scales['weight_decay'] == 0
    checkpoint = work_dir / 'epoch_2.pth'
    whole = MODELS.build(config(work_dir, checkpoint=str(checkpoint)))
    # quant.json alone holds the same grids as the checkpoint.
    state = {key: value for key, value in safe_load(checkpoint)['state_dict'].items()
             if '_quantizer.' not in key}
    from_file = MODELS.build(config(work_dir, checkpoint=None))
    from_file.load_state_dict(state, strict=False)
    for one, other in zip(outputs(whole), outputs(from_file)):
        assert torch.equal(one, other)


def test_a_float_model_needs_no_quant(folder: Path) -> None:
    state = safe_load(folder / 'compressed.pth')
    state['state_dict'] = {key: value for key, value in state['state_dict'].items()
                           if '_quantizer.' not in key}
    torch.save(state, folder / 'compressed.pth')
    model = MODELS.build(config(folder, quant=None))
    assert not quantized_layers(model)
    run = runner(folder / 'float', config(folder, quant=None), epochs=1,
                 hooks=(dict(type='mmrazor.CompressedModelHook'),), optim_wrapper=optim('AdamW'))
    run.train()
    assert (folder / 'float' / 'fix_subnet.json').is_file()
    assert not (folder / 'float' / 'quant.json').exists()


def test_the_dense_model_teaches_in_finetuning(folder: Path, dense: Path) -> None:
    """MMRazor's SingleTeacherDistill takes the compressed model as its architecture."""
    output = dict(recorder='head', data_idx=None)
    recorders = dict(head=dict(type='ModuleOutputs', source='head.cls_x'))
    model = dict(
        _scope_='mmrazor', type='SingleTeacherDistill', architecture=config(folder),
        teacher=tiny_rtmpose(), teacher_ckpt=str(dense), distiller=dict(
            type='ConfigurableDistiller', student_recorders=recorders,
            teacher_recorders=recorders,
            distill_losses=dict(loss_kd=dict(type='L2Loss', loss_weight=1.)),
            loss_forward_mappings=dict(loss_kd=dict(
                s_feature=dict(output, from_student=True),
                t_feature=dict(output, from_student=False)))))
    run = runner(folder / 'distilled', model, epochs=1,
                 hooks=(dict(type='mmrazor.CompressedModelHook'),), optim_wrapper=optim('AdamW'))
    run.train()
    rebuilt = MODELS.build(config(folder / 'distilled',
                                  checkpoint=str(folder / 'distilled' / 'epoch_1.pth')))
    for one, other in zip(outputs(rebuilt), outputs(run.model.architecture)):
        assert torch.equal(one, other)


def test_one_word_lets_the_dense_model_teach_in_finetuning(folder: Path, dense: Path) -> None:
    model = config(folder, distill=str(dense))
    ema = dict(type='EMAHook', momentum=0.2, update_buffers=True, priority=49)
    run = runner(folder / 'distilled', model, epochs=2,
                 hooks=(ema, dict(type='mmrazor.CompressedModelHook')),
                 optim_wrapper=optim('AdamW', lr_quant=1e-3))
    run.train()
    rows = [json.loads(line) for line in next((folder / 'distilled').rglob('scalars.json'))
            .read_text().splitlines()]
    assert any(row.get('loss_distill', 0) > 0 for row in rows)
    dense_state = safe_load(dense)['state_dict']
    teacher = run.model.distillation.teacher.model.state_dict()
    assert all(torch.equal(value, dense_state[key]) for key, value in teacher.items())
    state = safe_load(folder / 'distilled' / 'epoch_2.pth')['state_dict']
    assert all(key.startswith('architecture.') for key in state)
    written = load_compressed(folder / 'distilled')
    rebuilt = MODELS.build(config(written.path))
    averaged = MODELS.build(config(folder / 'distilled',
                                   checkpoint=str(folder / 'distilled' / 'epoch_2.pth')))
    for one, other in zip(outputs(rebuilt), outputs(averaged)):
        assert torch.equal(one, other)
    with pytest.raises(ValueError, match='no weights of the dense model'):
        MODELS.build(config(folder, distill=dict(weight=2.)))


def test_the_result_of_group_fisher_is_taken(tmp_path: Path) -> None:
    torch.manual_seed(0)
    algorithm = MODELS.build(group_fisher())
    algorithm.init_weights()
    for unit in algorithm.mutator.mutable_units:
        unit.mutable_channel.mask[unit.num_channels // 2:] = 0
    torch.save({'state_dict': algorithm.state_dict()}, tmp_path / 'flops_0.50.pth')
    static = MODELS.build(dict(
        _scope_='mmrazor', type='GroupFisherSubModel', algorithm=group_fisher(
            init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'flops_0.50.pth')))))
    torch.save({'state_dict': static.state_dict()}, tmp_path / 'compressed.pth')
    (tmp_path / 'fix_subnet.json').write_text(json.dumps(algorithm.mutator.counts()))
    rebuilt = MODELS.build(config(tmp_path, quant=None))
    for one, other in zip(outputs(rebuilt), outputs(static)):
        torch.testing.assert_close(one, other)


def _structure(folder: Path, **changes: int) -> dict:
    counts = json.loads((folder / 'fix_subnet.json').read_text())
    return {**counts, **changes}


STEM = 'backbone.stem.0.conv_(0, 4)_4'


@pytest.mark.parametrize('change, error, message', [
    (dict(fix_subnet='nowhere/fix_subnet.json'), StructureError, 'does not exist'),
    (dict(fix_subnet=None), StructureError, 'fix_subnet is empty'),
    (dict(fix_subnet={'backbone.stem.0.conv_(0, 8)_8': 4}), StructureError, 'another model'),
    (dict(fix_subnet={STEM: 5}), StructureError, 'only 4'),
    (dict(quant='nowhere/quant.json'), QuantFileError, 'does not exist'),
    (dict(divisor=4), StructureError, r'divisor=4 pads .* set divisor=1'),
    (dict(checkpoint='nowhere/compressed.pth'), FileNotFoundError, 'run the prune config first')])
def test_what_does_not_fit_is_refused(folder: Path, change: dict, error: type,
                                      message: str) -> None:
    with pytest.raises(error, match=message):
        MODELS.build(config(folder, **change))


def test_damaged_files_are_refused(folder: Path) -> None:
    for name, error in (('quant.json', QuantFileError), ('fix_subnet.json', StructureError)):
        text = (folder / name).read_text()
        (folder / name).write_text(text[:len(text) // 2])
        with pytest.raises(error, match='not valid JSON'):
            MODELS.build(config(folder))


def test_grids_of_another_structure_are_refused(folder: Path) -> None:
    counts = _structure(folder)
    name = next(name for name, count in counts.items() if count > 1)
    with pytest.raises(QuantFileError, match='written for other channels'):
        MODELS.build(config(folder, fix_subnet={**counts, name: counts[name] - 1}))


def test_weights_that_are_not_sliced_are_refused(folder: Path, dense: Path, joint: Runner) -> None:
    with pytest.raises(UnprunedError, match=r'is not sliced.*tools/extract_compressed\.py'):
        MODELS.build(config(folder, quant=None, checkpoint=str(dense)))
    with pytest.raises(UnprunedError, match='is not sliced'):
        MODELS.build(config(folder, checkpoint=str(Path(joint.work_dir) / 'epoch_5.pth')))
    with pytest.raises(ValueError, match='keys are missing'):
        path = folder / 'other.pth'
        torch.save({'state_dict': {'conv.weight': torch.zeros(1)}}, path)
        MODELS.build(config(folder, checkpoint=str(path)))


def test_a_divisor_is_held_against_the_dense_units(folder: Path) -> None:
    """3 of 32 channels can be padded to 4; a unit of 4 cannot be padded to 8."""
    change = dict(fix_subnet={'head.mlp.1_(0, 32)_32': 3}, quant=None, checkpoint=None)
    assert hasattr(MODELS.build(config(folder, divisor=4, **change)), 'post_process_for_mmdeploy')
    with pytest.raises(StructureError, match=r'divisor 8 is larger .* with its 4 channels'):
        MODELS.build(config(folder, divisor=8, **change))


def test_versions_of_layers_survive_loading(tmp_path: Path) -> None:
    """Layers convert the layout of old releases by versions that a plain dictionary has lost."""
    seen = []

    class Versioned(torch.nn.Conv2d):
        _version = 2

        def _load_from_state_dict(self, state: dict, prefix: str, local: dict, *args: object
                                  ) -> None:
            seen.append(local.get('version'))
            super()._load_from_state_dict(state, prefix, local, *args)

    model = torch.nn.Sequential(Versioned(1, 1, 1))
    plain = dict(model.state_dict())
    distilled = torch.nn.ModuleDict({'architecture': model}).state_dict()
    for state in (plain, model.state_dict(), distilled):
        torch.save({'state_dict': state}, tmp_path / 'state.pth')
        load_sliced(model, tmp_path / 'state.pth')
    assert seen == [2, 2, 2]


def test_the_hook_belongs_to_a_compressed_model(tmp_path: Path) -> None:
    run = runner(tmp_path, dict(tiny_rtmpose(), _scope_='mmpose'), epochs=1,
                 hooks=(dict(type='mmrazor.CompressedModelHook'),))
    with pytest.raises(TypeError, match='belongs to a CompressedModel, not to a Topdown'):
        run.train()
