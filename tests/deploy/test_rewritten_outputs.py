"""A file returns what MMDeploy's rewriters make of a model, and is compared with that."""
from __future__ import annotations

from pathlib import Path

import pytest
import torch

from razor_ext.deploy.errors import ParityError
from razor_ext.deploy.rewritten import RewrittenForward

from . import toy_classifier
from .toy_classifier import deploy_toy, noise, save_toy, toy_configs, toy_model


@pytest.fixture(scope='module')
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint, quant.json and an input of the toy."""
    folder = tmp_path_factory.mktemp('toy')
    save_toy(folder)
    return folder


def test_probabilities_are_compared_with_probabilities(toy: Path, tmp_path: Path) -> None:
    report = deploy_toy(toy, tmp_path, quant=str(toy / 'quant.json'))
    assert report['compared_with'] == 'rewritten'
    (row,) = report['parity']
    assert row['name'] == 'probabilities' and row['max_abs'] < 1e-5 and row['scale'] <= 1
    (row,) = report['quantization']['parity_with_fake_quantization']
    assert row['max_abs'] < 0.1
    (row,) = report['error_to_float']['onnx']
    assert row['max_abs'] < 0.1


def test_the_torch_model_is_left_alone() -> None:
    model = toy_model()
    run = RewrittenForward(toy_configs()[0], None)
    ((probabilities,),) = run(model, noise(1))
    assert probabilities.sum() == pytest.approx(1)
    with torch.no_grad():
        logits = model(noise(1)[0])
    assert logits.abs().max() > 1
    torch.testing.assert_close(torch.from_numpy(probabilities), logits.softmax(1))


def test_a_file_that_agrees_with_neither_is_refused(
        toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights are changed between the reference and the export."""
    build = toy_classifier.ToyClassification.build_pytorch_model

    def build_other(self, *args: object, **kwargs: object) -> torch.nn.Module:
        model = build(self, *args, **kwargs)
        with torch.no_grad():
            model.head.weight[0] += 0.1
        return model

    monkeypatch.setattr(toy_classifier.ToyClassification, 'build_pytorch_model', build_other)
    with pytest.raises(ParityError, match="'probabilities' of the exported model differs"):
        deploy_toy(toy, tmp_path)
