"""An error of several ranks is told once."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from razor_ext.engine import rank_errors

#: A rank that fails as its argument says, a moment after the others.
RANK = '''
import importlib.util, os, sys, time
spec = importlib.util.spec_from_file_location('rank_errors', {path!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
with module.told_once(ZeroDivisionError):
    time.sleep({pause} * int(os.environ['RANK']))
    {failure}
'''
FAILURE = "raise KeyError('no such joint')"


def launch(folder: Path, failures: list[str]) -> str:
    """Run ranks as one launcher does, and return what they print."""
    for rank, failure in enumerate(failures):
        (folder / f'rank{rank}.py').write_text(RANK.format(
            path=rank_errors.__file__, failure=failure, pause=.5))
    ranks = '\n'.join(f'RANK={rank} LOCAL_RANK={rank} {sys.executable} {folder}/rank{rank}.py &'
                      for rank in range(len(failures)))
    script = (f'export WORLD_SIZE={len(failures)} MASTER_PORT=1 TMPDIR={folder}\n{ranks}\n'
              'status=0; for job in $(jobs -p); do wait $job || status=$?; done; exit $status')
    done = subprocess.run(['bash', '-c', script], capture_output=True, text=True, timeout=60)
    assert done.returncode == (0 if failures == ['pass'] * len(failures) else 1)
    return done.stderr


def test_what_all_ranks_meet_has_one_traceback(tmp_path: Path) -> None:
    text = launch(tmp_path, [FAILURE] * 3)
    assert text.count('Traceback') == 1
    assert text.count('no such joint') == text.count('raise KeyError') + 1 == 2
    assert 'rank 0 has failed first' in text
    assert 'rank 1: the same error as rank 0' in text
    assert 'rank 2: the same error as rank 0' in text


def test_the_cause_comes_first_and_what_follows_is_a_line(tmp_path: Path) -> None:
    text = launch(tmp_path, [FAILURE, "raise RuntimeError('Connection closed by peer')"])
    assert text.count('Traceback') == 1
    assert text.index('no such joint') < text.index('rank 1: RuntimeError: Connection closed')
    assert '(after rank 0)' in text


def test_a_launcher_of_the_same_number_before_is_forgotten(tmp_path: Path) -> None:
    for _ in range(2):
        assert 'rank 0 has failed first' in launch(tmp_path, [FAILURE] * 2)
    assert launch(tmp_path, ['pass'] * 2) == ''


def test_a_single_process_and_plain_errors_are_left_alone(tmp_path: Path) -> None:
    assert 'has failed first' not in launch(tmp_path, [FAILURE])
    text = launch(tmp_path, ['1 / 0', '1 / 0'])
    assert text.count('ZeroDivisionError') == 2
