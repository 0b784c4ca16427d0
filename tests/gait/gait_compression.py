"""The shipped compression configs of the small gait models, on a few silhouettes of noise."""
from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from .gait_trees import PIPELINE, dataset_cfg, write_tree

ROOT = Path(__file__).parents[2]
FAMILIES = {'gaitbase': dict(backbone=dict(channels=(4, 6, 8, 10)),
                             head=dict(in_channels=10, embed_channels=8)),
            'gaitgl': dict(backbone=dict(stem=(4, ), stages=((4, ), (8, ), (8, ))),
                           head=dict(in_channels=8, embed_channels=8))}
#: The other models, by the name of their small config.
ZOO = {'deepgaitv2-p3d': dict(backbone=dict(channels=(4, 6, 8, 10)),
                              head=dict(in_channels=10, embed_channels=8)),
       'skeletongait': dict(backbone=dict(channels=(4, 6, 8, 10)),
                            head=dict(in_channels=10, embed_channels=8, neck_embedding=True)),
       'skeletongaitpp': dict(backbone=dict(channels=(4, 6, 8, 10), squeeze=1),
                              head=dict(in_channels=10, embed_channels=8)),
       'multigaitpp': dict(backbone=dict(channels=(4, 6, 8, 10), squeeze=1),
                           head=dict(in_channels=10, embed_channels=8)),
       'gaitset': dict(backbone=dict(channels=(4, 6, 8)), neck=dict(channels=(4, 6, 8)),
                       head=dict(in_channels=8, embed_channels=8)),
       'gaitpart': dict(backbone=dict(channels=((4, 4), (6, 6), (16, 16))),
                        pooling=dict(in_channels=16, bins=(4, )),
                        head=dict(in_channels=16, embed_channels=8, num_parts=4)),
       'gln': dict(backbone=dict(channels=(4, 6, 8)),
                   neck=dict(channels=(4, 6, 8), lateral_channels=6),
                   pooling=dict(bins=(8, 4)),
                   head=dict(in_channels=6, embed_channels=8, num_parts=36))}
#: Of 12 steps: warm-up to 1, projection to 3, joint to 9, then cool-down.
STEPS = 12
STAGES = dict(warmup=1, projection=2, pruning=6, projection_periods=2, pruning_periods=2)


def write_silhouettes(root: Path, channels: int = 1) -> None:
    """Write six subjects, two of them to test on, in frames of so many channels."""
    write_tree(root, [f'{i:03d}' for i in range(6)],
               ['nm-01', 'nm-02', 'nm-03', 'nm-04', 'nm-05', 'nm-06', 'bg-01', 'cl-01'],
               ['000', '090'], train=[f'{i:03d}' for i in range(4)], channels=channels)


def load(family: str, step: str, data: Path, work_dir: Path, **options: object) -> Config:
    """Load a config of configs/pruning, smaller and on other data.

    Args:
        family: 'gaitbase' or 'gaitgl'.
        step: such as 'geta_prune'.
        data: folder of `write_silhouettes`.
        work_dir: work directory.
        options: changes, as of --cfg-options.
    """
    cfg = Config.fromfile(ROOT / f'configs/pruning/{family}/{step}_{family}-small_demo-64x44.py')
    if 'architecture' in cfg.model:  # a finetune config has that of the folder
        _merge(cfg.model.architecture, FAMILIES[family])
    return onto(cfg, data, work_dir, **options)


def onto(cfg: Config, data: Path, work_dir: Path, **options: object) -> Config:
    """Let a config run for a few steps on the data of `write_silhouettes`."""
    cfg.work_dir = str(work_dir)
    for split in ('train', 'val', 'test'):
        loader, own = cfg[f'{split}_dataloader'], 'train' if split == 'train' else 'test'
        loader.update(num_workers=0, persistent_workers=False, dataset=dataset_cfg(
            data, 'CASIABDataset', split=own, test_mode=own == 'test',
            pipeline=PIPELINE if own == 'train' else loader.dataset.pipeline))
    cfg.train_dataloader.update(batch_size=4)
    cfg.train_dataloader.batch_sampler.subjects = 2
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=STEPS)
    cfg.default_hooks.checkpoint.interval = 4
    cfg.default_hooks.pop('visualization')
    cfg.merge_from_dict(options)
    return cfg


def _merge(config: dict, changes: dict) -> None:
    for key, value in changes.items():
        if isinstance(value, dict):
            _merge(config[key], value)
        else:
            config[key] = value


def train(cfg: Config) -> Runner:
    """Run a config's training."""
    run = Runner.from_cfg(cfg)
    run.train()
    return run
