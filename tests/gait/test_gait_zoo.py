"""The models of the zoo against slow references, and what only they have."""
from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from mmengine.registry import MODELS

from razor_ext.gait import GaitDataSample

from . import gait_reference as ref
from . import zoo_reference as zoo
from .gait_builders import ZOO, build, deepgaitv2, gaitpart, gaitset, gln, plain, two_inputs

REFERENCES = {
    'deepgaitv2-2d': partial(zoo.deepgaitv2, mode='2d'),
    'deepgaitv2-p3d': partial(zoo.deepgaitv2, mode='p3d'),
    'deepgaitv2-3d': partial(zoo.deepgaitv2, mode='3d'),
    'skeletongait': partial(zoo.deepgaitv2, mode='p3d'), 'skeletongaitpp': zoo.skeletongaitpp,
    'multigaitpp': zoo.multigaitpp, 'gaitset': zoo.gaitset,
    'gaitpart': partial(zoo.gaitpart, strips=(1, 4, 8), poolings=(4, 9)),
    'gaitpart-oumvlp': partial(zoo.gaitpart, strips=(1, 1, 8), poolings=(4, 9)),
    'gln': zoo.gln, 'gln-compact': zoo.gln,
}


def samples(lengths, labels=None):
    found = []
    for i, frames in enumerate(lengths):
        sample = GaitDataSample(metainfo={'num_frames': frames})
        if labels is not None:
            sample.set_field(torch.tensor(labels[i]), 'gt_label')
        found.append(sample)
    return found


def sequences(model, lengths):
    """Random sequences as a model takes them, [c, s, h, w], and as its reference does."""
    channels = model.backbone.in_channels
    clips = [torch.rand(channels, frames, 64, 44, dtype=torch.double) for frames in lengths]
    return clips, [clip[0] if channels == 1 else clip.transpose(0, 1) for clip in clips]


@pytest.mark.smoke
@pytest.mark.parametrize('name', ZOO)
def test_embeddings_over_lengths_and_packed(name):
    model = build(ZOO[name]).double()
    state, reference = model.state_dict(), REFERENCES[name]
    clips, theirs = sequences(model, (1, 4, 7))
    with torch.no_grad():
        expected = [reference(clip, state) for clip in theirs]
        if name == 'skeletongait':
            expected = [zoo.unit_vectors(embedding, state) for embedding in expected]
        for clip, embedding in zip(clips, expected):
            torch.testing.assert_close(model(clip[None])[0], embedding, rtol=1e-9, atol=1e-11)
        stacked = model(torch.stack([clips[1], clips[1].flip(1)]))
        torch.testing.assert_close(stacked[0], expected[1], rtol=1e-9, atol=1e-11)
        packed = model(torch.cat(clips, 1)[None], samples([1, 4, 7]), mode='predict')
    for sample, embedding in zip(packed, expected):
        torch.testing.assert_close(sample.embedding, embedding, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize('name', ZOO)
def test_losses_and_gradients(name):
    model = build(ZOO[name]).double()
    labels, lengths = [0, 0, 1, 3], [3, 3, 3, 3]
    clips, theirs = sequences(model, lengths)
    losses = model(torch.stack(clips), samples(lengths, labels), mode='loss')
    state = {key: value.detach().clone() for key, value in model.state_dict().items()}
    trained = [key for key, value in model.named_parameters() if value.requires_grad]
    for key in trained:
        state[key].requires_grad_()
    embeddings = [REFERENCES[name](clip, state) for clip in theirs]
    expected = zoo.triplet(torch.stack(embeddings), labels, 0.2)
    torch.testing.assert_close(losses['loss_triplet'], expected, check_dtype=False, rtol=1e-6,
                               atol=1e-7)
    total = losses['loss_triplet']
    if 'loss_cls' in losses:
        logits = zoo.gln_logits if name == 'gln-compact' else ref.neck_logits
        cls = zoo.cross_entropy(torch.stack([logits(e, state) for e in embeddings]), labels, 16,
                                0.1)
        torch.testing.assert_close(losses['loss_cls'], cls, check_dtype=False, rtol=1e-5,
                                   atol=1e-6)
        total, expected = total + losses['loss_cls'], expected + cls
    found = torch.autograd.grad(total, [dict(model.named_parameters())[key] for key in trained])
    wanted = torch.autograd.grad(expected, [state[key] for key in trained])
    for key, one, other in zip(trained, found, wanted):
        # the losses themselves are computed in single precision
        assert (one - other).abs().max() <= 1e-4 * other.abs().max(), key
        assert other.abs().max() > 0, key


@pytest.mark.parametrize(('cfg', 'total', 'deploy'), [
    (deepgaitv2(74, '2d'), 7.305, 6.994), (deepgaitv2(74), 8.339, 8.028),
    (deepgaitv2(3000, blocks=(1, 4, 4, 1)), 25.49, 13.20),
    (deepgaitv2(74, '3d'), 16.60, 16.28),
    (two_inputs('SkeletonGaitPP', (2, 1), 3000, blocks=(1, 4, 4, 1)), 25.57, 13.27),
    (two_inputs('MultiGaitPP', (1, 1), 3000, blocks=(1, 2, 2, 1)), 28.56, 16.26),
    (gaitset(), 2.595, 2.595),
    (gaitpart(), 1.204, 1.204), (gln(), 8.542, 8.542), (gln(74), 14.70, 8.542)])
def test_parameter_counts(cfg, total, deploy):
    with torch.device('meta'):
        model = MODELS.build(copy.deepcopy(cfg))
    for expected in (total, deploy):
        count = sum(p.numel() for p in model.parameters()) / 1e6
        assert round(count, 2 if expected > 10 else 3) == expected
        model.switch_to_deploy()


def test_unequal_lengths_do_not_train_batch_norms_one_by_one():
    inputs, both = torch.rand(1, 1, 7, 64, 44), samples([3, 4], [0, 1])
    with pytest.raises(ValueError, match=r'sequences of \[3, 4\] frames .*DeepGaitV2Backbone'):
        MODELS.build(ZOO['deepgaitv2-p3d']).train()(inputs, both, mode='loss')
    for name in ('deepgaitv2-2d', 'gaitset', 'gaitpart'):
        losses = MODELS.build(ZOO[name]).train()(inputs, both, mode='loss')
        assert torch.isfinite(losses['loss_triplet'])


def test_errors_name_the_value():
    with pytest.raises(ValueError, match=r"one of \['2d', 'p3d', '3d'\], not '4d'"):
        MODELS.build(deepgaitv2(mode='4d'))
    with pytest.raises(ValueError, match=r'of one length, got \(4, 6\)'):
        MODELS.build(deepgaitv2(channels=(4, 6)))
    with pytest.raises(ValueError, match=r'strips \(1, 4\) must have one entry'):
        MODELS.build(gaitpart(strips=(1, 4)))
    with pytest.raises(ValueError, match=r'strips \(4, 4, 8\) must'):
        MODELS.build(gaitpart(strips=(4, 4, 8)))
    odd = plain()
    odd['backbone']['out_indices'] = (2, 5)
    with pytest.raises(ValueError, match=r'out_indices \(2, 5\) must be rising'):
        MODELS.build(odd)
    with pytest.raises(ValueError, match=r'two inputs and four stages: got inputs=\(2, 1, 1\)'):
        MODELS.build(two_inputs('MultiGaitPP', (2, 1, 1)))
    head = gaitset()
    head['head']['num_classes'] = 5
    with pytest.raises(ValueError, match='PartHead has no classifier'):
        MODELS.build(head)
    with pytest.raises(RuntimeError, match="leave tensor_output at 'embedding'"):
        build({**ZOO['gaitset'], 'tensor_output': 'logits'})(torch.rand(1, 1, 3, 64, 44))


def test_an_embedding_after_the_neck_is_deployed_with_it():
    model = build(ZOO['skeletongait'])
    x = torch.rand(2, 2, 3, 64, 44)
    with torch.no_grad():
        before = model(x)
        assert torch.allclose(before.norm(dim=1), torch.ones(2, 16))
        model.switch_to_deploy()
        assert torch.equal(model(x), before)
    assert model.head.classifier is None and model.head.bn is not None
