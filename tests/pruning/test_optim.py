"""The optimizer constructor of every compression run."""
from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmrazor.registry import MODELS
from tiny_geta import geta, memoize_analysis
from torch import nn

from razor_ext.algorithms.geta import QASSO
from razor_ext.quantization import QuantConfig, quantize_model

NAME = 'mmrazor.CompressionOptimWrapperConstructor'
BASE = ('mmpose::body_2d_keypoint/topdown_heatmap/coco/'
        'td-hm_res50_8xb64-210e_coco-256x192.py')


def build(model: nn.Module, **settings: object):
    return build_optim_wrapper(model, dict(dict(
        constructor=NAME, optimizer=dict(type='AdamW', lr=1e-2, weight_decay=.05)), **settings))


@pytest.fixture(scope='module')
def algorithm() -> nn.Module:
    with pytest.MonkeyPatch.context() as patch:
        memoize_analysis(patch.setattr)
        init_default_scope('mmpose')
        yield MODELS.build(geta())


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@pytest.mark.parametrize('kind, options, variant', [
    ('SGD', dict(momentum=.9, nesterov=True), 'sgd'),
    ('Adam', dict(betas=(.8, .9), eps=1e-6), 'adam'),
    ('AdamW', {}, 'adamw'), (torch.optim.AdamW, {}, 'adamw')])
def test_the_dense_optimizer_of_a_geta_run_becomes_qasso(
        algorithm: nn.Module, kind: str | type, options: dict, variant: str) -> None:
    optimizer = build(algorithm, lr_ratio=.5, lr_quant=1e-3, optimizer=dict(
        type=kind, lr=.1, weight_decay=.01, **options)).optimizer
    assert isinstance(optimizer, QASSO) and optimizer.variant == variant
    weights, scales = optimizer.param_groups
    assert weights['lr'] == .05 and weights['weight_decay'] == .01
    assert {key: weights[key] for key in options} == options
    assert scales['lr'] == 1e-3 and scales['weight_decay'] == 0.
    assert len(scales['params']) > 10


def test_the_old_places_and_the_old_name(algorithm: nn.Module) -> None:
    optimizer = build(algorithm, constructor='mmrazor.GETAOptimWrapperConstructor', optimizer=dict(
        type='QASSO', variant='sgd', lr=.1, lr_quant=1e-4,
        saliency=dict(weights=dict(magnitude=1.)))).optimizer
    assert optimizer.variant == 'sgd' and optimizer.param_groups[-1]['lr'] == 1e-4
    assert optimizer.saliency.weights == dict(magnitude=1.)
    new = build(algorithm, saliency=dict(weights=dict(magnitude=1.))).optimizer
    assert new.saliency.weights == optimizer.saliency.weights


def test_the_optimizer_of_a_base_that_mmengine_gives_a_scope(algorithm: nn.Module,
                                                             tmp_path) -> None:
    """It has no type for the wrapper: the scope was an unknown option of Adam."""
    path = tmp_path / 'config.py'
    path.write_text(f'_base_ = {BASE!r}\n'
                    'rate = _base_.optim_wrapper.optimizer.lr\n'
                    f'optim_wrapper = dict(constructor={NAME!r}, lr_ratio=.1)\n')
    wrapper = Config.fromfile(path).optim_wrapper
    path.write_text(f'_base_ = {BASE!r}\n'
                    f'optim_wrapper = dict(_base_.optim_wrapper, constructor={NAME!r})\n'
                    "optim_wrapper['optimizer'] = _base_.optim_wrapper.optimizer\n")
    scoped = Config.fromfile(path).optim_wrapper
    assert scoped.optimizer._scope_ == 'mmpose'
    for settings in (wrapper, scoped):
        for model in (algorithm, net()):
            optimizer = build_optim_wrapper(model, deepcopy(settings)).optimizer
            assert optimizer.param_groups[0]['weight_decay'] == 0.
    assert isinstance(optimizer, torch.optim.Adam)


def test_any_optimizer_finetunes_a_plain_model() -> None:
    for kind in ('SGD', 'AdamW', 'Adadelta', 'RAdam'):
        wrapper = build(net(), lr_ratio=.1, optimizer=dict(type=kind, lr=.2))
        assert type(wrapper.optimizer).__name__ == kind
        assert wrapper.get_lr() == {'lr': [pytest.approx(.02)]}


def test_scales_of_a_quantized_model_learn_at_their_own_rate() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1))
    quantize_model(model, QuantConfig())
    scales = build(model, lr_ratio=.1, lr_quant=1e-4).optimizer.param_groups[-1]
    assert scales['lr'] == 1e-4 and scales['weight_decay'] == 0.
    assert build(model, lr_ratio=.5).optimizer.param_groups[-1]['lr'] == 5e-3


def test_settings_by_parameter_are_kept() -> None:
    wrapper = build(net(), lr_ratio=.5, paramwise_cfg=dict(
        norm_decay_mult=0., custom_keys={'0.bias': dict(lr_mult=2.)}))
    found = {(group['lr'], group['weight_decay'], len(group['params']))
             for group in wrapper.optimizer.param_groups}
    assert found == {(5e-3, .05, 1), (1e-2, .05, 1), (5e-3, 0., 2)}


def test_shared_and_frozen_parameters_are_taken_once_or_not() -> None:
    model = net()
    model.again = model[0]
    model[1].weight.requires_grad = False
    assert [len(group['params']) for group in build(model).optimizer.param_groups] == [3]


class Layered(nn.Module):
    """Named as ViTPose's backbone is."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.patch_embed = nn.Linear(3, 4)
        self.backbone.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.head = nn.Linear(4, 2)


class Around(nn.Module):
    """An algorithm with a parameter of its own, of a distiller."""

    def __init__(self) -> None:
        super().__init__()
        self.architecture, self.connector = Layered(), nn.Linear(2, 2)


DECAY = dict(num_layers=2, layer_decay_rate=.5)


@pytest.mark.parametrize('model', [Layered(), Around()])
def test_the_learning_rates_of_a_dense_constructor_are_kept(model: nn.Module) -> None:
    """ViTPose's decay by layer and RTMO's rules, whose constructor ours takes the place of."""
    init_default_scope('mmpose')
    dense = getattr(model, 'architecture', model)
    groups = build(model, optimizer=dict(type='AdamW', lr=1., weight_decay=.1), lr_ratio=.5,
                   paramwise_cfg=DECAY).optimizer.param_groups
    rates = {id(p): (group['lr'], group['weight_decay']) for group in groups
             for p in group['params']}
    found = {name: rates[id(p)] for name, p in dense.named_parameters()}
    assert found == {
        'backbone.patch_embed.weight': (.0625, .1), 'backbone.patch_embed.bias': (.0625, 0.),
        'backbone.layers.0.weight': (.125, .1), 'backbone.layers.0.bias': (.125, 0.),
        'backbone.layers.1.weight': (.25, .1), 'backbone.layers.1.bias': (.25, 0.),
        'head.weight': (.5, .1), 'head.bias': (.5, 0.)}
    assert len(rates) == len(list(model.parameters()))
    forced = build(model, lr_ratio=.5, paramwise_cfg=dict(
        bias_decay_mult=0, force_default_settings=True,
        custom_keys={'backbone.layers': dict(lr_mult=.1)})).optimizer.param_groups
    by_id = {id(p): (group['lr'], group['weight_decay']) for group in forced
             for p in group['params']}
    assert by_id[id(dense.backbone.layers[0].bias)] == (pytest.approx(5e-4), 0.)
    assert by_id[id(dense.head.weight)] == (5e-3, .05)


def test_a_geta_run_with_decay_by_layer(algorithm: nn.Module) -> None:
    groups = build(algorithm, lr_quant=1e-3, paramwise_cfg=DECAY).optimizer.param_groups
    assert {group['lr'] for group in groups} == {1e-2, 1e-3}
    assert sum(len(group['params']) for group in groups) == len(list(algorithm.parameters()))


@pytest.mark.parametrize('settings, message', [
    (dict(optimizer=None), 'optim_wrapper has no optimizer: the config of the dense model trains'),
    (dict(paramwise_cfg=dict(decay_by=.5)), 'paramwise_cfg has decay_by, which MMEngine does not'),
    (dict(param_constructor='LayerDecy'), "param_constructor='LayerDecy' is no optimizer constr"),
    (dict(lr_quant=1e-3, optimizer=dict(type='SGD', lr=.1, lr_quant=1e-2)),
     r'lr_quant is given twice: .*lr_quant=0\.001 .*optimizer\.lr_quant=0\.01'),
    (dict(lr_ratio=.5, optimizer=dict(type='SGD')), r'lr_ratio=0\.5 .* does not set'),
    (dict(rule={}), 'rule, which only GETA knows, and the model is a Sequential')])
def test_what_does_not_fit_is_named(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(net(), **settings)


@pytest.mark.parametrize('optimizer, message', [
    (dict(type='LBFGS', lr=.1), "optimizer type 'LBFGS'; this constructor knows QASSO"),
    (dict(type='AdamW', lr=.1, beta=.9), 'adamw has no option beta; known: betas')])
def test_what_geta_does_not_know_is_named(algorithm: nn.Module, optimizer: dict,
                                          message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(algorithm, optimizer=optimizer)
