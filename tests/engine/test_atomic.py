"""Files appear whole or not at all."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from razor_ext.engine import atomic_write, write_json


@pytest.mark.smoke
def test_a_failing_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / 'deep' / 'file.json'
    write_json(path, {'a': 1})
    with pytest.raises(RuntimeError, match='stop'), atomic_write(path) as temporary:
        temporary.write_text('half')
        raise RuntimeError('stop')
    assert json.loads(path.read_text()) == {'a': 1}
    assert [entry.name for entry in path.parent.iterdir()] == ['file.json']
