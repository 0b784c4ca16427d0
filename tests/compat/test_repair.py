"""The record of repairs, and the list of them."""
from __future__ import annotations

import pytest

from razor_ext import compat
from razor_ext.compat import repair
from razor_ext.compat.repair import RepairSpec, run_repair


def make_spec(mend, package='torch', needs=()):
    return RepairSpec('some-repair', package, 'a reason', mend, needs)


def import_error():
    raise ModuleNotFoundError("No module named 'xtcocotools'")


@pytest.mark.smoke
@pytest.mark.parametrize(('mend', 'package', 'needs', 'skip', 'state'), [
    (lambda: True, 'torch', (), '', repair.APPLIED),
    (lambda: False, 'torch', (), '', repair.NOT_NEEDED),
    (import_error, 'no_such_package', (), '', repair.PACKAGE_MISSING),
    (import_error, 'torch', ('no_such_package',), '', repair.PACKAGE_MISSING),
    (import_error, 'torch', (), 'some-repair', repair.SKIPPED),
    (import_error, 'torch', (), 'all', repair.SKIPPED),
    (import_error, 'torch', (), '', repair.NOT_IMPORTABLE),
])
def test_state(mend, package, needs, skip, state):
    record = run_repair(make_spec(mend, package, needs), frozenset([skip]))
    assert record.state == state
    assert record.reason == 'a reason'


def test_unimportable_package_is_named_and_warned_about(caplog):
    record = run_repair(make_spec(import_error), frozenset())
    assert 'xtcocotools' in record.detail
    assert 'check_env' in caplog.text


def test_fault_of_a_repair_is_not_hidden():
    def broken():
        raise AttributeError('upstream changed')

    with pytest.raises(AttributeError):
        run_repair(make_spec(broken), frozenset())


@pytest.mark.smoke
def test_apply_records_every_repair_once():
    records = compat.apply()
    assert records is compat.apply()
    assert [record.name for record in records] == [spec.name for spec in compat.specs()]
    assert len({record.name for record in records}) == len(records)
    assert {record.state for record in records} <= {repair.APPLIED, repair.NOT_NEEDED}


def test_unknown_name_in_the_skip_variable_is_refused(run_python):
    result = run_python('import razor_ext', skip='mmcv-opps')
    assert result.returncode
    assert "'mmcv-opps'" in result.stderr
    assert 'mmcv-ops' in result.stderr


WITHOUT = '''
import os, sys, traceback
import torch

failed = False
for hidden in ({'mmcv', 'mmdet', 'mmengine', 'mmpose', 'mmrazor', 'mmdeploy', 'only_train_once'},
               {'mmcv'}, {'mmdet'}, {'mmpose', 'mmdeploy'}, {'mmrazor'}):
    child = os.fork()
    if child == 0:
        Hide.hidden = hidden
        try:
            import razor_ext
            import razor_ext.graph
            states = {repair.package: repair.state for repair in razor_ext.compat.apply()}
            for package in hidden & set(states):
                assert states[package] == 'package missing', states
        except BaseException:
            print('without', sorted(hidden), file=sys.stderr)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    failed |= os.waitpid(child, 0)[1] != 0
sys.exit(failed)
'''


def test_import_without_openmmlab_packages(run_python):
    result = run_python(WITHOUT)
    assert result.returncode == 0, result.stderr
