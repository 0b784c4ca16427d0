"""Build a prune and a finetune config against every config of a package's zoo, without training.

Each is written as docs/geta.md says, three files that splice `configs/pruning/_base_`, and goes
through all that a run does with its config before the model of the zoo is built: inheritance, the
check for keys that nothing reads, the dense config of the compressed folder and its dump, hooks,
and the optimizer, over a small model. What fails is listed by stage and error.
"""
from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.config import config as config_module
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, DefaultScope
from mmengine.visualization import Visualizer
from mmrazor.registry import MODELS
from torch import nn
from zoo import config_names

import razor_ext  # noqa: F401  repairs of upstream come before its import
from razor_ext.engine.config_check import check_config
from razor_ext.structure.dense_config import dense_config

SHARED = Path(__file__).parents[2] / 'configs' / 'pruning' / '_base_'
IMPORTS = "custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)\n"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--package', default='mmpose', help='its configs are the zoo')
    parser.add_argument('--match', default='', help='only configs with this in their path')
    parser.add_argument('--algorithm', default='geta', choices=('geta', 'group_fisher', 'l1'))
    parser.add_argument('--parts', type=int, default=1, help='every so many configs')
    parser.add_argument('--part', type=int, default=0, help='beginning with this one')
    return parser.parse_args()


class SmallNet(BaseModel):
    """Stands in for the model of the zoo, whose weights no config needs."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, inputs: torch.Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        return self.head(self.backbone(inputs))


def small_model(algorithm: str) -> nn.Module:
    """Return an algorithm over the small net."""
    config = Config.fromfile(SHARED / f'{algorithm}.py')[algorithm]
    return MODELS.build(dict(config, architecture=SmallNet(), demo_input=(1, 3, 8, 8)))


def prune_text(package: str, name: str, algorithm: str) -> str:
    """Return the prune config of a model, as the shipped ones are."""
    return (f'_base_ = [{package + "::" + name!r}, {str(SHARED / algorithm) + ".py"!r}]\n{IMPORTS}'
            f'model = dict(_base_.{algorithm}, _delete_=True, architecture=_base_.model)\n'
            f'optim_wrapper = _base_.{algorithm}_optim\n'
            f'default_hooks = _base_.{algorithm}_hooks\n')


def finetune_text(package: str, name: str) -> str:
    """Return the finetune config of a model, as the shipped ones are."""
    return (f'_base_ = [{package + "::" + name!r}, {str(SHARED / "finetune.py")!r}]\n{IMPORTS}'
            'model = dict(_base_.finetune, _delete_=True, compressed="work_dirs/prune")\n'
            'optim_wrapper = _base_.finetune_optim\n'
            'default_hooks = _base_.finetune_hooks\n')


def load(path: Path, text: str) -> Config:
    """Write a config, load and check it, and load what a run dumps of it."""
    path.write_text(text, encoding='utf-8')
    cfg = Config.fromfile(path)
    check_config(cfg)
    cfg.dump(path.with_name('dumped.py'))
    return Config.fromfile(path.with_name('dumped.py'))


def build_hooks(cfg: Config) -> None:
    """Build every hook of a config."""
    for hook in (*(cfg.get('custom_hooks') or ()), *(cfg.get('default_hooks') or {}).values()):
        if hook is not None:
            HOOKS.build({key: value for key, value in hook.items() if key != 'priority'})


def build_optimizer(model: nn.Module, cfg: Config) -> None:
    """Build the optimizer of a config over a model; without mixed precision, which needs a GPU."""
    settings = dict(cfg.optim_wrapper)
    if settings.get('type') == 'AmpOptimWrapper':
        settings = {key: value for key, value in settings.items()
                    if key not in ('type', 'loss_scale', 'dtype')}
    build_optim_wrapper(model, settings)


@contextlib.contextmanager
def unformatted() -> Iterator[None]:
    """Dump configs as they are: laying them out takes half of the time, .24 of .52 s a config."""
    plain = config_module.FormatCode
    config_module.FormatCode = lambda text, **style: (text, False)
    try:
        yield
    finally:
        config_module.FormatCode = plain


def stages(package: str, name: str, algorithm: str, model: nn.Module, plain: nn.Module,
           folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield what is tried, in order: a name and a call."""
    found: dict[str, Config] = {}

    def pruned() -> None:
        found['prune'] = load(folder / 'prune.py', prune_text(package, name, algorithm))

    def dense() -> None:
        config = dense_config(found['prune'])
        config.dump(folder / 'dense.py')
        again = Config.fromfile(folder / 'dense.py')
        if again.model.to_dict() != config.model.to_dict():
            raise ValueError('the dense config changes when it is dumped and loaded')

    def finetuned() -> None:
        found['finetune'] = load(folder / 'finetune.py', finetune_text(package, name))

    yield 'prune config', pruned
    yield 'dense config', dense
    yield 'prune hooks', lambda: build_hooks(found['prune'])
    yield 'prune optimizer', lambda: build_optimizer(model, found['prune'])
    yield 'finetune config', finetuned
    yield 'finetune hooks', lambda: build_hooks(found['finetune'])
    yield 'finetune optimizer', lambda: build_optimizer(plain, found['finetune'])


def failure(package: str, name: str, algorithm: str, model: nn.Module, plain: nn.Module,
            folder: Path) -> tuple[str, str] | None:
    """Return the first stage that a config fails in and the error; None if all hold."""
    for stage, call in stages(package, name, algorithm, model, plain, folder):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                call()
        except Exception as error:  # whatever a config of the zoo raises is what is asked for
            lines = str(error).strip().splitlines()
            return stage, f'{type(error).__name__}: {lines[0] if lines else ""}'
    return None


def main() -> None:
    args = parse_args()
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    names = config_names(args.package, match=args.match)[args.part::args.parts]
    failed: Counter[tuple[str, str]] = Counter()
    Visualizer.get_instance('zoo')  # hooks look for it, which Runner has made by then
    with tempfile.TemporaryDirectory() as folder, unformatted(), \
            DefaultScope.overwrite_default_scope(args.package):
        model, plain = small_model(args.algorithm), SmallNet()
        for name in names:
            found = failure(args.package, name, args.algorithm, model, plain, Path(folder))
            if found is not None:
                failed[found] += 1
                print(f'{name}: {found[0]}: {found[1]}', flush=True)
    print(f'{len(names) - sum(failed.values())} of {len(names)} configs of {args.package} build '
          f'a prune config of {args.algorithm} and a finetune config')
    for (stage, error), count in failed.most_common():
        print(f'{count} fail in {stage}: {error}')
    sys.exit(bool(failed))


if __name__ == '__main__':
    main()
