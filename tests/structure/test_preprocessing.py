"""A data preprocessor at the top of a config, without a type, as mmpretrain writes it."""
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from mmrazor.registry import MODELS
from torch import nn

from razor_ext.pruning import extract
from razor_ext.structure.dense_config import dense_config
from razor_ext.structure.preprocessing import split_preprocessor

TOP = dict(mean=[10.] * 3, std=[20.] * 3)


@MODELS.register_module()
class TopClassifier(BaseModel):
    """Completes the preprocessor's config, as mmpretrain's ImageClassifier does."""

    def __init__(self, width: int, data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(dict({'type': 'ImgDataPreprocessor'}, **(data_preprocessor or {})),
                         init_cfg)
        self.body = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(),
                                  nn.Conv2d(width, width, 3))
        self.head = nn.Linear(width, 2)

    def forward(self, inputs: torch.Tensor, data_samples: object = None, mode: str = 'tensor'):
        out = self.head(self.body(inputs).mean((2, 3)))
        return dict(loss=out.square().mean()) if mode == 'loss' else out


@DATASETS.register_module()
class GreyImages(torch.utils.data.Dataset):

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=torch.full((3, 8, 8), 10. * index))


def config(folder: Path, **model: object) -> Config:
    return Config(dict(
        model=model, data_preprocessor=TOP, work_dir=str(folder), default_scope='mmrazor',
        train_dataloader=dict(batch_size=2, dataset=dict(type='GreyImages'),
                              sampler=dict(type='DefaultSampler', shuffle=False)),
        train_cfg=dict(by_epoch=True, max_epochs=1), log_level='ERROR',
        experiment_name=folder.name,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3))))


def mean_of(model: nn.Module) -> list[float]:
    return model.data_preprocessor.mean.flatten().tolist()


@pytest.mark.parametrize('kind', ['GETA', 'GroupFisher', 'L1Pruning', 'GroupFisherAlgorithm'])
def test_every_algorithm_takes_it(kind: str) -> None:
    init_default_scope('mmrazor')
    model = MODELS.build(dict(type=f'mmrazor.{kind}', data_preprocessor=TOP,
                              architecture=dict(type='TopClassifier', width=8),
                              **({'target': dict(kind='macs', ratio=.5)}
                                 if kind != 'GroupFisherAlgorithm' else {})))
    assert mean_of(model) == mean_of(model.architecture) == [10.] * 3


def test_from_pruning_to_a_finetuned_folder(tmp_path: Path) -> None:
    """It was built without a type: KeyError."""
    cfg = config(tmp_path / 'prune', type='mmrazor.L1Pruning', target=dict(kind='macs', ratio=.5),
                 architecture=dict(type='TopClassifier', width=8), demo_input=(1, 3, 8, 8))
    cfg.custom_hooks = [dict(type='mmrazor.PruningHook')]
    run = Runner.from_cfg(cfg)
    run.train()
    assert mean_of(run.model) == [10.] * 3
    found, dense = extract(cfg, str(tmp_path / 'prune' / 'epoch_1.pth'))
    assert mean_of(found.model) == mean_of(dense) == [10.] * 3

    folder = tmp_path / 'prune' / 'compressed'
    assert Config.fromfile(folder / 'config.py').model.data_preprocessor.mean == [10.] * 3
    cfg = config(tmp_path / 'finetune', type='mmrazor.CompressedModel', compressed=str(folder))
    cfg.custom_hooks = [dict(type='mmrazor.CompressedModelHook')]
    run = Runner.from_cfg(cfg)
    run.train()
    assert mean_of(run.model) == [10.] * 3
    final = MODELS.build(dict(type='mmrazor.CompressedModel', checkpoint=None,
                              compressed=str(tmp_path / 'finetune')))
    assert mean_of(final) == [10.] * 3


def test_whose_preprocessor_wins() -> None:
    typed, own = dict(type='A', mean=1), dict(type='B')
    bare = dict(type='M')
    assert split_preprocessor(bare, {}) == (bare, None)
    assert split_preprocessor(bare, TOP) == (dict(type='M', data_preprocessor=TOP), None)
    assert split_preprocessor(bare, typed) == (dict(type='M', data_preprocessor=typed), None)
    full = dict(type='M', data_preprocessor=own)
    assert split_preprocessor(full, TOP) == (full, None)
    assert split_preprocessor(full, typed) == (full, typed)
    hub = dict(cfg_path='mmpretrain::resnet/resnet18_8xb32_in1k.py')  # the hub looks by itself
    assert split_preprocessor(hub, TOP) == (hub, None)
    module = nn.Identity()
    assert split_preprocessor(full, module) == (full, module)
    for around, found in ((typed, typed), (None, own)):
        cfg = Config(dict(model=dict(type='GETA', architecture=full, data_preprocessor=around)))
        assert dense_config(cfg).model.data_preprocessor == found
