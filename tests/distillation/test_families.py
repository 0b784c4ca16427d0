"""`distill` on a model of each family, as its training calls it."""
from __future__ import annotations

import copy

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmrazor.registry import MODELS
from torch import nn

from razor_ext.distillation import OutputDistillation, Teacher, check_distill
from razor_ext.gait.structures import GaitDataSample
from tests.gait.gait_builders import gaitbase, gaitset


def pose() -> tuple[nn.Module, torch.Tensor, list]:
    from tiny_pose import batch, tiny_rtmpose
    init_default_scope('mmpose')
    model = MODELS.build({**tiny_rtmpose(), 'backbone': {
        **tiny_rtmpose()['backbone'], 'norm_cfg': dict(type='BN')}})
    data = model.data_preprocessor(batch(0, 4), True)
    return model, data['inputs'], data['data_samples']


def classification() -> tuple[nn.Module, torch.Tensor, list]:
    from tiny_classifier import PREPROCESSOR, tiny_repvgg
    structures = pytest.importorskip('mmpretrain.structures')
    init_default_scope('mmpretrain')
    model = MODELS.build(dict(tiny_repvgg(), data_preprocessor=PREPROCESSOR))
    samples = [structures.DataSample().set_gt_label(i) for i in range(4)]
    return model, torch.randn(4, 3, 32, 32), samples


def detection() -> tuple[nn.Module, torch.Tensor, list]:
    from tiny_detector import tiny_rtmdet
    structures = pytest.importorskip('mmdet.structures')
    init_default_scope('mmdet')
    model = MODELS.build(tiny_rtmdet())
    samples = []
    for _ in range(2):
        samples.append(structures.DetDataSample(
            gt_instances=InstanceData(bboxes=torch.tensor([[8., 8., 40., 40.]]),
                                      labels=torch.tensor([1])),
            metainfo=dict(img_shape=(64, 64), batch_input_shape=(64, 64), pad_shape=(64, 64))))
    return model, torch.randn(2, 3, 64, 64), samples


def gait(config: dict) -> tuple[nn.Module, torch.Tensor, list]:
    init_default_scope('razor_ext')
    samples = [GaitDataSample(gt_label=torch.tensor(i // 2)) for i in range(4)]
    return MODELS.build(config), torch.rand(4, 1, 3, 64, 44), samples


class Plain(BaseModel):
    """A model that no family knows."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, inputs: torch.Tensor, data_samples: list | None = None,
                mode: str = 'tensor') -> torch.Tensor | dict:
        x = self.layer(inputs)
        return x if mode == 'tensor' else {'loss': x.square().mean()}


CASES = {
    'pose': (pose, {'loss_kpt', 'acc_pose'}), 'classification': (classification, {'loss'}),
    'detection': (detection, {'loss_cls', 'loss_bbox'}),
    'gaitbase': (lambda: gait(gaitbase(4, channels=(8, 8, 8, 8), embed=8)),
                 {'loss_triplet', 'loss_cls'}),
    'gaitset': (lambda: gait(gaitset(channels=(8, 8, 8), embed=8)), {'loss_triplet'}),
    'any other': (lambda: (Plain(), torch.randn(4, 3), []), {'loss'})}


@pytest.mark.parametrize('name', CASES)
def test_the_outputs_of_training_are_compared(name: str) -> None:
    torch.manual_seed(0)
    build, task = CASES[name]
    model, inputs, samples = build()
    distillation = OutputDistillation(Teacher(model), {})
    # In evaluation a model is its own teacher, whatever its norms have seen.
    losses = distillation.losses(model.eval(), inputs, samples)
    assert task <= set(losses) and losses['loss_distill'].abs() < 1e-5
    student = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 0.3 * torch.randn_like(parameter) * parameter.std(unbiased=False)
    loss = distillation.losses(student, inputs, samples)['loss_distill']
    loss.backward()
    assert loss > 1e-4
    trained = [p for p in student.parameters() if p.grad is not None and p.grad.any()]
    assert len(trained) > len(list(student.parameters())) / 2
    assert all(p.grad is None for p in distillation.teacher.model.parameters())


def test_weights_and_temperatures_are_set_or_refused() -> None:
    teacher = Teacher(Plain())
    doubled, plain = OutputDistillation(teacher, dict(weight=2.)), OutputDistillation(teacher, {})
    student, x = Plain(), torch.randn(4, 3)
    assert float(doubled.losses(student, x, None)['loss_distill']) == pytest.approx(
        2 * plain.losses(student, x, None)['loss_distill'].item())
    with pytest.raises(ValueError, match='options are weight, all above 0'):
        OutputDistillation(teacher, dict(temperature=2.))
    with pytest.raises(ValueError, match='above 0'):
        OutputDistillation(teacher, dict(weight=0.))
    with pytest.raises(ValueError, match="distill='yes'"):
        check_distill('yes')


def test_a_teacher_is_neither_copied_nor_saved() -> None:
    model = Plain()
    model.distillation = OutputDistillation(Teacher(model), {})
    copied = copy.deepcopy(model)
    assert copied.distillation is model.distillation
    assert set(model.state_dict()) == {'layer.weight', 'layer.bias'}
    assert not any(p.requires_grad for p in model.distillation.teacher.model.parameters())
