"""What outputs lose against a teacher's, and where they are recorded."""
from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from razor_ext.distillation import gait_loss, logits_loss, outputs_loss, recorded, simcc_loss


def heads(scale: float = 1., beta: float = 10.) -> SimpleNamespace:
    return SimpleNamespace(head=SimpleNamespace(
        loss_module=SimpleNamespace(beta=beta), loss_cls=SimpleNamespace(scale=scale)))


CASES = {
    'simcc': (simcc_loss, lambda: [(torch.randn(4, 5, 32), torch.randn(4, 5, 24))]),
    'logits': (logits_loss, lambda: [torch.randn(4, 10)]),
    'gait': (gait_loss, lambda: [torch.randn(4, 8, 3), torch.randn(4, 10, 3)]),
    'embeddings': (gait_loss, lambda: [torch.randn(4, 8, 3)]),
    'outputs': (outputs_loss, lambda: [([torch.randn(2, 3), torch.randn(4)],
                                        {'boxes': torch.randn(2, 4)})])}


def leaves(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value
    return [leaf for item in items for leaf in leaves(item)]


@pytest.mark.parametrize('name', CASES)
def test_losses_vanish_at_the_teacher_and_lead_to_it(name: str) -> None:
    torch.manual_seed(0)
    loss, draw = CASES[name]
    teacher, student = draw(), draw()
    assert loss(teacher, copy.deepcopy(teacher), heads()).abs() < 1e-6
    for leaf in leaves(student):
        leaf.requires_grad_()
    before = loss(student, teacher, heads())
    before.backward()
    assert before > 0 and all(leaf.grad.any() for leaf in leaves(student))
    with torch.no_grad():
        for leaf in leaves(student):
            leaf -= 1e-2 * leaf.grad
    assert loss(student, teacher, heads()) < before


@pytest.mark.smoke
def test_simcc_is_on_the_scale_of_the_loss_of_the_task() -> None:
    """MMPose's own loss with the teacher's logits as soft labels."""
    losses = pytest.importorskip('mmpose.models.losses.classification_loss')
    torch.manual_seed(0)
    _, draw = CASES['simcc']
    student, teacher = draw(), draw()
    task = losses.KLDiscretLoss(beta=10., label_softmax=True, use_target_weight=True)
    expected = task(student[0], teacher[0], torch.ones(4, 5))
    torch.testing.assert_close(simcc_loss(student, teacher, heads()), expected)


def test_the_temperature_keeps_the_size_of_gradients() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(64, 10, requires_grad=True), torch.randn(64, 10)
    norms = [torch.autograd.grad(logits_loss([student], [teacher], None, temperature=t),
                                 student)[0].norm() for t in (4., 16.)]
    assert 0.8 < norms[0] / norms[1] < 1.25


class Head(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1

    def classify(self, x: Tensor) -> Tensor:
        return 2 * self(x)


def test_methods_are_recorded_while_they_run_and_left_as_they_were() -> None:
    model = nn.Sequential(Head())
    with pytest.raises(RuntimeError), recorded(model, ('0.forward', '0.classify')) as found:
        model[0].classify(torch.zeros(1))
        assert {name: float(value) for name, value in found.items()} == {
            '0.forward': 1., '0.classify': 2.}
        raise RuntimeError
    assert not {'forward', 'classify'} & set(vars(model[0]))
    with recorded(model, ('0.forward', )) as found:
        model[0].forward(torch.zeros(1))
    assert float(found['0.forward']) == 1.
