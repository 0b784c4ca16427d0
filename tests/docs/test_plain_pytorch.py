"""The worked example of docs/plain_pytorch.md runs as it is written."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / 'docs' / 'plain_pytorch.md').read_text(encoding='utf-8')


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r'```python\n(.*?)```', TEXT, re.DOTALL)
    assert len(blocks) == 2
    exec(compile('\n'.join(blocks), 'plain_pytorch.md', 'exec'), {'__name__': 'example'})
    assert (tmp_path / 'work_dirs' / 'vgg7' / 'end2end.onnx').is_file()
