"""Static models from a pruning run and from a structure file."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmrazor.models.task_modules.demo_inputs import DefaultDemoInput
from mmrazor.registry import MODELS
from tiny_pose import SIZE, group_fisher, runner, tiny_rtmpose

from razor_ext.deploy.counts import count_torch
from razor_ext.structure import StructureError
from razor_ext.structure.rebuild import UnprunedError

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / 'tests' / 'data' / 'rtmpose-s_coco_fix_subnet.json'


@pytest.fixture(scope='module')
def pruned(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    """A tiny RTMPose with a random third of every unit masked, and its checkpoint."""
    torch.manual_seed(0)
    algorithm = MODELS.build(group_fisher())
    algorithm.init_weights()
    for unit in algorithm.mutator.mutable_units:
        mask = torch.rand(unit.num_channels) < 0.67
        mask[0] = True
        unit.mutable_channel.mask.copy_(mask.float())
    path = tmp_path_factory.mktemp('pruned') / 'flops_0.50.pth'
    torch.save({'state_dict': algorithm.state_dict()}, path)
    return algorithm.eval(), path


def _finetune(path: Path | None, **kwargs: object) -> dict:
    init_cfg = None if path is None else dict(type='Pretrained', checkpoint=str(path))
    return dict(_scope_='mmrazor', type='GroupFisherSubModel',
                algorithm=group_fisher(init_cfg=init_cfg), **kwargs)


def _deploy(structure: object, **kwargs: object) -> dict:
    return dict(_scope_='mmrazor', type='GroupFisherDeploySubModel', architecture=tiny_rtmpose(),
                fix_subnet=structure, **kwargs)


def test_sliced_equals_masked(pruned: tuple) -> None:
    algorithm, path = pruned
    model = MODELS.build(_finetune(path)).eval()
    x = torch.rand(2, 3, *SIZE)
    for masked, sliced in zip(algorithm(x), model(x, None)):
        torch.testing.assert_close(sliced, masked)
    assert sum(p.numel() for p in model.parameters()) < sum(
        p.numel() for p in algorithm.architecture.parameters())


@pytest.mark.parametrize('divisor', [2, 4])
def test_padding_changes_nothing_but_the_widths(pruned: tuple, divisor: int) -> None:
    """Deployment pads with zeros; the demo input of the model is used, not 224 x 224."""
    algorithm, path = pruned
    sliced = MODELS.build(_finetune(path)).eval()
    model = MODELS.build(_deploy(algorithm.mutator.counts(), divisor=divisor)).eval()
    model.load_state_dict(sliced.state_dict(), strict=False)
    x = torch.rand(1, 3, *SIZE)
    expected = sliced(x, None)
    model.post_process_for_mmdeploy()
    for before, after in zip(expected, model(x, None)):
        torch.testing.assert_close(after, before)
    assert model.backbone.stage2[0].conv.out_channels % divisor == 0


def test_finetuning_writes_the_structure(pruned: tuple, tmp_path: Path) -> None:
    algorithm, path = pruned
    run = runner(tmp_path, _finetune(path), epochs=1)
    run.train()
    written = json.loads((tmp_path / 'fix_subnet.json').read_text())
    assert written == algorithm.mutator.counts()
    model = MODELS.build(_deploy(str(tmp_path / 'fix_subnet.json')))
    model.load_state_dict(run.model.state_dict(), strict=True)


def test_a_missing_checkpoint_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r'nowhere/flops_0\.51\.pth.*run the prune config'):
        MODELS.build(_finetune(Path('nowhere/flops_0.51.pth')))
    with pytest.raises(ValueError, match='fill in `pruned_path`'):
        MODELS.build(_finetune(None))


def test_an_unpruned_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'whole.pth'
    torch.save({'state_dict': MODELS.build(group_fisher()).state_dict()}, path)
    with pytest.raises(UnprunedError, match='nothing was pruned'):
        MODELS.build(_finetune(path))


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'dense.pth'
    torch.save({'state_dict': {'backbone.conv1.weight': torch.zeros(1)}}, path)
    with pytest.raises(ValueError, match=r"not of a pruning run.*'backbone\.conv1\.weight'"):
        MODELS.build(_finetune(path))


@pytest.mark.parametrize('structure, message', [
    ({'backbone.stem.0.conv_(0, 7)_7': 3}, r'conv_\(0, 7\)_7.*closest unit is'),
    ({'backbone.stem.0.conv_(0, 4)_4': 9}, 'keeps 9 channels .* only 4'),
    ({'backbone.stem.0.conv_(0, 4)_4': 0}, 'keeps 0 channels'),
    ({'backbone.stem.0.conv_(0, 4)_4': 'two'}, "keeps 'two' channels"),
    ({}, 'fix_subnet is empty'),
    ('nowhere/fix_subnet.json', "'nowhere/fix_subnet.json' does not exist")])
def test_a_structure_that_does_not_fit_is_refused(structure: object, message: str) -> None:
    with pytest.raises(StructureError, match=message):
        MODELS.build(_deploy(structure))


def test_a_corrupt_structure_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'fix_subnet.json'
    path.write_text('{"backbone.stem.0.conv_(0, 4)_4": 2')
    with pytest.raises(StructureError, match=r'fix_subnet\.json.*not valid JSON'):
        MODELS.build(_deploy(str(path)))


def test_a_divisor_larger_than_a_layer_is_refused(pruned: tuple) -> None:
    algorithm, path = pruned
    with pytest.raises(StructureError, match='divisor 16 is larger than unit'):
        MODELS.build(_deploy(algorithm.mutator.counts(), divisor=16))
    with pytest.raises(StructureError, match='divisor 16 is larger than unit'):
        MODELS.build(_finetune(path, divisor=16))


def test_the_published_structure_has_the_published_size() -> None:
    """3.42 M parameters and 0.34 G of MMPose's table, through our deploy config."""
    name = 'group_fisher_mmrazor_deploy_rtmpose-s_8xb256-420e_coco-256x192.py'
    cfg = Config.fromfile(ROOT / 'configs' / 'pruning' / 'rtmpose' / name)
    cfg.model.fix_subnet = str(PUBLISHED)
    init_default_scope('mmpose')
    model = MODELS.build(cfg.model).eval()
    data = DefaultDemoInput((1, 3, 256, 192)).get_data(model)
    counts = count_torch(model, lambda: model(**data))
    assert counts['params'] == 3_421_908
    assert counts['macs'] == pytest.approx(345.64e6, abs=0.005e6)


def test_tracing_rtmpose_s_gives_the_published_units() -> None:
    name = 'group_fisher_mmrazor_prune_rtmpose-s_8xb256-420e_coco-256x192.py'
    cfg = Config.fromfile(ROOT / 'configs' / 'pruning' / 'rtmpose' / name)
    init_default_scope('mmpose')
    algorithm = MODELS.build(cfg.model)
    published = json.loads(PUBLISHED.read_text())
    assert list(algorithm.mutator.counts()) == list(published)
