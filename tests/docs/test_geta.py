"""The config at the top of docs/geta.md trains as it is written, over a smaller dense one."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.families.site import write_toy_site

ROOT = Path(__file__).parents[2]
CODE = """
from pathlib import Path
from mmengine.config import Config
from mmengine.runner import Runner
from tests.algorithms.settings import FAMILIES

FAMILIES['toy'].write(Path.cwd())
cfg = Config.fromfile('geta_prune.py')
cfg.work_dir = 'work_dirs/run'
cfg.train_cfg = dict(max_iters=100, by_epoch=False)
Runner.from_cfg(cfg).train()
assert {path.name for path in Path('work_dirs/run/compressed').iterdir()} >= {
    'fix_subnet.json', 'quant.json', 'compressed.pth'}
"""


def test_the_config_runs(tmp_path: Path) -> None:
    text = (ROOT / 'docs' / 'geta.md').read_text(encoding='utf-8')
    block = re.findall(r'```python\n(.*?)```', text, re.DOTALL)[0]
    config = re.sub(r"'mmpose::[^']+'", "'dense.py'", block).replace('path/to/', f'{ROOT}/')
    config = config.replace('divisor=8', 'divisor=2')
    (tmp_path / 'geta_prune.py').write_text(config, encoding='utf-8')
    write_toy_site(tmp_path)
    (tmp_path / 'run.py').write_text(CODE)
    path = os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / 'tests' / 'helpers')))
    done = subprocess.run([sys.executable, 'run.py'], cwd=tmp_path, capture_output=True, text=True,
                          check=False,
                          env={**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1'})
    assert done.returncode == 0, done.stderr[-3000:]
