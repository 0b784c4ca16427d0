"""The shipped configs of pruning: short, whole, and every value their docstrings name counts."""
from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmrazor.registry import HOOKS, MODELS
from tiny_geta import memoize_analysis

from razor_ext.compat import is_usable
from razor_ext.engine import check_config
from razor_ext.engine.config_check import runner_keys
from razor_ext.pruning.schedule import PruneSchedule
from razor_ext.pruning.target_config import check_target_config
from razor_ext.quantization import QuantConfig

ROOT = Path(__file__).parents[2] / 'configs' / 'pruning'
FILES = sorted(ROOT.rglob('*.py'))
CONFIGS = [path for path in FILES if '_base_' not in path.parts
           and ('mmpretrain::' not in path.read_text() or is_usable('mmpretrain'))]
PRUNE = [path for path in CONFIGS if '_prune_' in path.name and 'mmrazor' not in path.name]
FINETUNE = [path for path in CONFIGS if '_finetune_' in path.name and 'mmrazor' not in path.name]
SMALL = [path for path in PRUNE if 'demo' in path.name]
STEPS = {'prune', 'finetune', 'deploy'}
PATH = re.compile(r'\b(?:model|optim_wrapper|default_hooks)(?:\.\w+)+')

by_name = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)


def named_paths(path: Path) -> list[str]:
    """Return the paths that a config's docstring names."""
    return PATH.findall(ast.get_docstring(ast.parse(path.read_text())))


def value_at(node: Any, path: str) -> Any:
    for part in path.split('.'):
        node = node[part]
    return node


def another(value: Any) -> Any:
    """Return another value of the same type."""
    if isinstance(value, str):
        return f'{value}_'
    if isinstance(value, (list, tuple)):
        return type(value)(another(item) for item in value)
    return value + 1 if isinstance(value, int) else value / 2 + 0.003


def accepted(kind: type) -> set[str]:
    """Return the names that a class takes, those of its base classes included."""
    names: set[str] = set()
    for base in kind.__mro__:
        parameters = inspect.signature(base.__init__).parameters.values()
        names |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return names
    return names


@pytest.mark.smoke
def test_all_configs_of_pruning_are_short() -> None:
    assert sum(len(path.read_text().splitlines()) for path in FILES) <= 16.5 * len(FILES)


@by_name
def test_a_config_says_only_what_differs(path: Path) -> None:
    assert path.stem.split('_prune_')[0].split('_finetune_')[0].split('_deploy_')[0] in {
        'geta', 'group_fisher', 'group_fisher_mmrazor', 'l1', 'taylor', 'random'}
    text = path.read_text()
    tree = ast.parse(text)
    docstring = tree.body[0]
    code = [line for line in text.splitlines()[docstring.end_lineno:]
            if line.strip() and not line.strip().startswith('#')]
    assert len(code) <= 12
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Subscript)]
    assert {type(node) for node in tree.body} == {ast.Expr, ast.Assign}


@by_name
def test_every_value_of_the_docstring_is_reached_by_cfg_options(path: Path) -> None:
    cfg = Config.fromfile(path)
    names = named_paths(path)
    assert len(names) >= 2
    for name in names:
        options = {name: another(value_at(cfg, name))}
        check_config(cfg, options=options)
        changed = Config.fromfile(path)
        changed.merge_from_dict(options)
        assert value_at(changed, name) == options[name]
        # A Runner is given these keys and no other.
        assert [key for key in runner_keys() if key in cfg and cfg[key] != changed[key]] == [
            name.split('.')[0]]


@by_name
def test_hooks_and_optimizers_can_be_built(path: Path) -> None:
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    own = [hook for hook in cfg.get('default_hooks', {}).values()
           if hook is not None and hook['type'].startswith('mmrazor.')]
    assert own or cfg.model.type != 'mmrazor.CompressedModel' or '_deploy_' in path.stem
    for hook in own:
        HOOKS.build(hook)
    if cfg.optim_wrapper.optimizer.type == 'HESSO':  # for GETA alone
        return
    dense = value_at(cfg, 'optim_wrapper.optimizer.lr')
    wrapper = build_optim_wrapper(torch.nn.Linear(2, 2), {
        **cfg.optim_wrapper, 'type': 'OptimWrapper'})
    assert wrapper.optimizer.param_groups[0]['lr'] == dense * cfg.optim_wrapper.get('lr_ratio', 1.)


@pytest.mark.parametrize('path', PRUNE, ids=lambda path: path.stem)
def test_a_prune_config_fits_its_algorithm(path: Path) -> None:
    model = Config.fromfile(path).model
    settings = {key: value for key, value in model.items() if key != 'type'}
    kind = MODELS.get(model.type)
    assert not set(settings) - accepted(kind)
    check_target_config(model.target, model.get('quant') is not None)
    if 'schedule' in model:
        PruneSchedule(**model.schedule)
    if model.get('quant'):
        QuantConfig(**model.quant)


@pytest.mark.parametrize('path', FINETUNE, ids=lambda path: path.stem)
def test_a_finetune_config_takes_the_folder_of_its_prune_config(path: Path) -> None:
    model = Config.fromfile(path).model
    prune = path.with_name(path.name.replace('_finetune_', '_prune_'))
    assert prune in PRUNE and model.compressed == f'work_dirs/{prune.stem}'
    assert not set(model) - {'type'} - set(
        inspect.signature(MODELS.get(model.type)).parameters)


@pytest.fixture(scope='module', autouse=True)
def _once():
    with pytest.MonkeyPatch.context() as patch:
        memoize_analysis(patch.setattr)
        yield


@pytest.mark.parametrize('path', SMALL, ids=lambda path: path.stem)
def test_a_small_one_is_built_as_its_options_say(path: Path) -> None:
    cfg = Config.fromfile(path)
    cfg.merge_from_dict({'model.target.ratio': 0.75, 'model.divisor': 2,
                         'optim_wrapper.lr_ratio': 0.25})
    if 'quant' in cfg.model:
        cfg.merge_from_dict({'model.quant.weight_bits': (6, 8), 'optim_wrapper.lr_quant': 1e-5})
    if 'schedule' in cfg.model:
        cfg.merge_from_dict({'model.schedule.end': 0.6})
    init_default_scope(cfg.default_scope)
    algorithm = MODELS.build(cfg.model)
    assert algorithm.build_target().ratio == 0.75 and algorithm.mutator.divisor == 2
    assert algorithm.architecture.init_cfg['checkpoint'] == cfg.model.checkpoint
    assert algorithm.mutator.keep == []
    wrapper = build_optim_wrapper(algorithm, cfg.optim_wrapper)
    rates = [group['lr'] for group in wrapper.optimizer.param_groups]
    assert rates[0] == cfg.optim_wrapper.optimizer.lr * 0.25
    if 'quant' in cfg.model:
        assert rates[-1] == 1e-5
        assert {limits.min_bits for name, limits in algorithm.bit_ranges().items()
                if name.endswith('weight_quantizer')} == {6}
    if 'schedule' in cfg.model:
        assert algorithm.schedule.end == 0.6


#: What a user writes for a model that is not shipped, as the README shows it: its dense config has
#: no weight decay and no custom hooks, and MMEngine writes a scope into its optimizer.
OWN = '''_base_ = [
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_res50_8xb64-210e_coco-256x192.py',
    '{root}/_base_/{name}.py',
]
custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)
model = dict(_base_.{name}, _delete_=True, {what})
optim_wrapper = dict(_base_.{name}_optim, lr_ratio=0.1)
default_hooks = _base_.{name}_hooks
'''


@pytest.mark.parametrize('name', ['geta', 'group_fisher', 'l1', 'taylor', 'random', 'finetune'])
def test_a_model_that_is_not_shipped(name: str, tmp_path: Path) -> None:
    path = tmp_path / f'{name}.py'
    dense = "architecture=_base_.model, checkpoint='dense.pth', divisor=8"
    path.write_text(OWN.format(root=ROOT, name=name, what=(
        "compressed='run'" if name == 'finetune' else dense)))
    cfg = Config.fromfile(path)
    check_config(cfg)
    init_default_scope(cfg.default_scope)
    if name == 'finetune':
        model = torch.nn.Linear(2, 2)
    else:
        cfg.model.architecture.backbone.init_cfg = None
        model = MODELS.build(cfg.model)
        assert model.mutator.divisor == 8 and len(model.mutator.choice_template) > 30
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    assert type(optimizer).__name__ == ('QASSO' if name == 'geta' else 'Adam')
    assert optimizer.param_groups[0]['lr'] == pytest.approx(5e-5)
    assert type(HOOKS.build(list(cfg.default_hooks.values())[-1])).__name__ == (
        'CompressedModelHook' if name == 'finetune' else 'PruningHook')
