from __future__ import annotations

import copy

import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS
from torch.utils.flop_counter import FlopCounterMode

from razor_ext.gait import GaitDataSample
from razor_ext.gait.models import GeMPooling, PartLinear

from . import gait_reference as ref
from .gait_builders import GAITGL_OUMVLP, build, gaitbase, gaitgl, plain

SMALL = {
    'gaitbase': gaitbase(5, (4, 6, 8, 10), 7),
    'plain': plain(5, (4, 6, 8), 7),
    'gaitgl': gaitgl(5, (3,), ((4,), (5,), (6,))),
    'gaitgl-oumvlp': gaitgl(5, (3, 4), ((5, 5), (6, 6), (7, 7)), 2),
    'gaitgl-bnneck': gaitgl(5, (3,), ((4,), (5,), (6,)), head='PartBNNeckHead'),
}


def reference(name, sequence, state):
    if name == 'gaitbase':
        return ref.set_embedding(sequence, state, ref.gaitbase_frame, (16,))
    if name == 'plain':
        return ref.set_embedding(sequence, state, ref.plain_frame, (16, 8, 4, 2, 1))
    layout = (2, (2, 2, 2), 2) if name == 'gaitgl-oumvlp' else (1, (1, 1, 1), 8)
    return ref.gaitgl_embedding(sequence, state, *layout, neck=name == 'gaitgl-bnneck')


def millions(model):
    return sum(p.numel() for p in model.parameters()) / 1e6


@pytest.mark.smoke
@pytest.mark.parametrize(('cfg', 'total', 'deploy'), [
    (gaitbase(74), 7.305, 6.994), (gaitbase(3000), 19.29, 6.994), (gaitbase(5153), 28.11, 6.994),
    (gaitbase(20000), 88.92, 6.994), (plain(), 3.779, 3.176), (gaitgl(), 3.097, 2.490),
    (gaitgl(5153, **GAITGL_OUMVLP), 95.62, 11.19), (gaitgl(20000, **GAITGL_OUMVLP), 338.9, 11.19),
])
def test_parameter_counts(cfg, total, deploy):
    with torch.device('meta'):
        model = MODELS.build(copy.deepcopy(cfg))
    digits = 1 if total > 100 else 2 if total > 10 else 3
    assert round(millions(model), digits) == total
    assert round(millions(model.switch_to_deploy()), 2 if deploy > 10 else 3) == deploy


@pytest.mark.parametrize(('cfg', 'frames', 'gmacs'), [
    (gaitbase(), 1, 1.178), (plain(), 1, 0.420), (gaitgl(), 30, 12.62),
    (gaitgl(5153, **GAITGL_OUMVLP), 30, 58.55)])
def test_backbone_macs(cfg, frames, gmacs):
    with torch.device('meta'):
        model = MODELS.build(copy.deepcopy(cfg)).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.backbone(torch.zeros(1, 1, frames, 64, 44))
    measured = counter.get_total_flops() / 2e9
    assert measured == pytest.approx(gmacs, abs=0.5 * 10 ** -(3 if gmacs < 10 else 2))


@pytest.mark.smoke
@pytest.mark.parametrize('name', SMALL)
@pytest.mark.parametrize(('batch', 'frames'), [(1, 3), (2, 7), (3, 4)])
def test_forward_parity(name, batch, frames):
    model = build(SMALL[name])
    x = torch.rand(batch, 1, frames, 64, 44)
    with torch.no_grad():
        out = model(x)
        logits = model.head.classify(out)
    state = {k: v.double() for k, v in model.state_dict().items()}
    for i in range(batch):
        expected = reference(name, x[i, 0].double(), state)
        assert torch.allclose(out[i].double(), expected, atol=1e-5, rtol=1e-5)
        if name != 'gaitgl' and name != 'gaitgl-oumvlp':
            assert torch.allclose(logits[i].double(), ref.neck_logits(expected, state), atol=1e-5)


@pytest.mark.parametrize('name', SMALL)
def test_unequal_lengths_are_the_sequences_alone(name):
    model = build(SMALL[name])
    lengths = (5, 3, 9)
    frames = [torch.randint(0, 256, (1, s, 64, 44), dtype=torch.uint8) for s in lengths]
    samples = [GaitDataSample() for _ in lengths]
    data = model.data_preprocessor({'inputs': frames, 'data_samples': samples})
    assert data['inputs'].shape == (1, 1, 17, 64, 44)
    with torch.no_grad():
        predicted = model(**data, mode='predict')
        for x, sample in zip(frames, predicted):
            assert torch.allclose(model(x[None] / 255)[0], sample.embedding, atol=1e-5)


def test_short_clips_are_repeated_for_gaitgl():
    model = build(SMALL['gaitgl'])
    for frames, expected in ((1, 3), (2, 4), (3, 3)):
        x = torch.randint(0, 256, (1, frames, 64, 44), dtype=torch.uint8)
        data = model.data_preprocessor({'inputs': [x], 'data_samples': [GaitDataSample()]})
        assert data['inputs'].shape[2] == expected
        assert torch.allclose(data['inputs'][0, :, :frames], x / 255)


@pytest.mark.parametrize('name', SMALL)
def test_aten_trace_is_flat_and_exact(name):
    from torch.fx.experimental.proxy_tensor import make_fx
    model = build({**SMALL[name], 'tensor_output': 'logits'})
    params = dict(model.named_parameters()) | dict(model.named_buffers())

    def run(params, x):
        return torch.func.functional_call(model, params, (x,))

    x = torch.rand(2, 1, 6, 64, 44)
    graph = make_fx(run, tracing_mode='fake')(params, x)
    kinds = {str(node.target) for node in graph.graph.nodes if node.op == 'call_function'}
    assert not kinds & {'aten.item.default', 'aten._local_scalar_dense.default',
                        'aten.index.Tensor', 'aten.nonzero.default'}, kinds
    convolutions = [n for n in graph.graph.nodes if 'convolution' in str(n.target)]
    assert len(convolutions) == sum(isinstance(m, (torch.nn.Conv2d, torch.nn.Conv3d))
                                    for m in model.modules())
    y = torch.rand(2, 1, 6, 64, 44)
    with torch.no_grad():
        assert torch.allclose(graph(params, y), model(y), atol=1e-6)


@pytest.mark.parametrize('name', SMALL)
def test_synchronised_batchnorm_is_the_same_model(name):
    model = build({**SMALL[name], 'tensor_output': 'logits'})
    x = torch.rand(2, 1, 6, 64, 44)
    with torch.no_grad():
        expected = model(x)
        synced = torch.nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model)).eval()
        assert torch.allclose(synced(x), expected, atol=1e-6)
        assert set(synced.state_dict()) == set(model.state_dict())
        assert torch.allclose(revert_sync_batchnorm(synced)(x), expected, atol=1e-6)


def test_gem_survives_half_precision_and_empty_rows():
    pool = GeMPooling(4).half()
    x = torch.full((1, 2, 4, 6), 40., dtype=torch.half)
    x[:, :, 2:] = 0
    out = pool(x)
    assert torch.allclose(out[..., :2], x[..., :2, 0])
    pool = GeMPooling(4)
    x = torch.rand(1, 2, 4, 6).mul(100)
    x[:, :, 2:] = 0
    pool(x).sum().backward()
    assert torch.isfinite(pool.p.grad).all()
    naive = GeMPooling(4).double()
    y = x.double().clamp(min=1e-6)
    expected = y.pow(6.5).mean(-1).pow(1 / 6.5)
    assert torch.allclose(naive(x.double()), expected, rtol=1e-9)


def test_gem_gradients_equal_the_plain_form():
    x = torch.rand(2, 3, 4, 5, dtype=torch.double, requires_grad=True)
    pool = GeMPooling(4).double()
    grads = torch.autograd.grad(pool(x).square().sum(), [x, pool.p])
    plain_form = x.clamp(min=1e-6).pow(pool.p).mean(-1).pow(1 / pool.p)
    expected = torch.autograd.grad(plain_form.square().sum(), [x, pool.p])
    for a, b in zip(grads, expected):
        assert torch.allclose(a, b, rtol=1e-8)


def test_part_linear_keeps_the_layout_part_in_out():
    layer = PartLinear(3, 4, 5)
    assert layer.weight.shape == (3, 4, 5)
    x = torch.rand(2, 4, 3)
    out = layer(x)
    for p in range(3):
        assert torch.allclose(out[:, :, p], x[:, :, p] @ layer.weight[p], atol=1e-6)


def test_errors_name_the_value():
    model = build(SMALL['gaitbase'])
    with pytest.raises(ValueError, match="'extract'"):
        model(torch.rand(1, 1, 3, 64, 44), mode='extract')
    for mode in ('loss', 'predict'):
        with pytest.raises(ValueError, match=f"mode='{mode}' needs data_samples"):
            model(torch.rand(1, 1, 3, 64, 44), mode=mode)
    sample = GaitDataSample(metainfo={'path': 'a/b.pkl', 'num_frames': 3})
    sample.set_field(torch.tensor(9), 'gt_label')
    with pytest.raises(ValueError, match='num_classes=5'):
        model(torch.rand(1, 1, 3, 64, 44), [sample], mode='loss')
    with pytest.raises(ValueError, match=r'a/b\.pkl: the sequence has no frames'):
        model.data_preprocessor({'inputs': [torch.zeros(1, 0, 64, 44)], 'data_samples': [sample]})
    with pytest.raises(RuntimeError, match='num_classes'):
        model.switch_to_deploy().head.classify(torch.rand(1, 7, 16))
    with pytest.raises(ValueError, match='tensor_output'):
        MODELS.build({**SMALL['gaitbase'], 'tensor_output': 'probabilities'})


@pytest.mark.smoke
@pytest.mark.parametrize('name', SMALL)
def test_training_step_reaches_every_parameter(name):
    model = MODELS.build(copy.deepcopy(SMALL[name])).train()
    samples = []
    for label in (0, 0, 1, 1):
        sample = GaitDataSample()
        sample.set_field(torch.tensor(label), 'gt_label')
        samples.append(sample)
    frames = [torch.randint(0, 256, (1, 4, 64, 44), dtype=torch.uint8) for _ in samples]
    data = model.data_preprocessor({'inputs': frames, 'data_samples': samples}, True)
    loss, log = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert {'loss_triplet', 'loss_cls', 'nonzero', 'accuracy'} <= set(log)
    for key, param in model.named_parameters():
        assert param.grad is not None and param.grad.abs().sum() > 0, key
