"""Python of the pages runs, or loads as the config that it is."""
from __future__ import annotations

from pathlib import Path

import mmengine.registry
import pytest
import torch
from mmengine.config import Config
from torch import nn

from razor_ext.deploy.backends import BACKENDS, PackagedBackend
from razor_ext.graph import analyze

from .pages import PAGES, ROOT, blocks, name

CONFIGS = [pytest.param(block, id=f'{name(page)}-{number}') for page in PAGES
           for number, block in enumerate(blocks(page, 'python'))
           if block.lstrip().startswith('_base_')]


@pytest.mark.parametrize('block', CONFIGS)
def test_config_loads_and_its_model_is_known(block: str, tmp_path: Path) -> None:
    path = tmp_path / 'config.py'
    path.write_text(block.replace('path/to/', f'{ROOT}/'), encoding='utf-8')
    config = Config.fromfile(path)
    scope = config.get('default_scope', 'razor_ext')
    with mmengine.registry.MODELS.switch_scope_and_registry(scope) as registry:
        assert registry.get(config.model.type) is not None


def test_the_graph_in_a_few_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
    units = analyze(model, torch.randn(1, 3, 256, 192)).units
    scores = {unit.name: torch.arange(unit.num_channels) for unit in units}
    names = {'model': model, 'torch': torch, 'scores': scores, 'threshold': 2}
    (block, ) = blocks(ROOT / 'docs' / 'graph.md', 'python')
    exec(compile(block, 'graph.md', 'exec'), names)
    assert names['small'][0].out_channels == 5  # type: ignore[index]
    assert (tmp_path / 'graph.svg').is_file()


def test_a_backend_in_a_few_lines() -> None:
    (block, ) = blocks(ROOT / 'docs' / 'deploy.md', 'python')
    names = {'BACKENDS': BACKENDS, 'PackagedBackend': PackagedBackend}
    try:
        exec(compile(block, 'deploy.md', 'exec'), names)
        assert BACKENDS.get('rknn')('rknn').suffix == '.rknn'
    finally:
        BACKENDS.module_dict.pop('rknn', None)


def test_the_activations_of_geta_are_arguments() -> None:
    """The config before it is loaded above and trained in `test_geta.py`."""
    _, block = blocks(ROOT / 'docs' / 'geta.md', 'python')
    config: dict = {}
    exec(compile(block, 'geta.md', 'exec'), config)
    with mmengine.registry.MODELS.switch_scope_and_registry('mmrazor') as registry:
        architecture = nn.Sequential(nn.Conv2d(3, 16, 3), nn.SiLU(), nn.Conv2d(16, 4, 1))
        assert registry.build(dict(
            type='mmrazor.GETA', architecture=architecture, demo_input=(1, 3, 8, 8),
            target=dict(kind='macs', ratio=0.5), activation=config['model']['activation'],
        )) is not None
