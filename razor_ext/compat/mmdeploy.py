"""Repairs of MMDeploy 1.3.1.

MMDeploy takes seconds to import and is not imported here: both repairs wait until it is.
"""
from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from razor_ext.compat.repair import RepairSpec

CODEBASE_PACKAGE = 'mmdeploy.codebase.mmrazor'
CODEBASE_MODULE = f'{CODEBASE_PACKAGE}.deploy'


class _MissingCodebase(MetaPathFinder, Loader):
    """Supplies MMDeploy's ``mmrazor`` codebase; last in ``sys.meta_path``, so never in its way."""

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        if fullname not in (CODEBASE_PACKAGE, CODEBASE_MODULE):
            return None
        return ModuleSpec(fullname, self, is_package=fullname == CODEBASE_PACKAGE)

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == CODEBASE_MODULE:
            codebase = importlib.import_module('razor_ext.deploy.codebase')
            module.MMRazor = codebase.CompressedModels
            module.ModelCompress = codebase.ModelCompress


class _AfterImport(MetaPathFinder):
    """Repairs the exporter call once MMDeploy's own import has ended."""

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        if fullname != 'mmdeploy':
            return None
        specs = (finder.find_spec(fullname, path, target) for finder in sys.meta_path
                 if finder is not self)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_repair(module: ModuleType) -> None:
            execute(module)
            _register_exporter()

        spec.loader.exec_module = execute_and_repair
        return spec


def _register_exporter() -> None:
    from mmdeploy.core import FUNCTION_REWRITER

    @FUNCTION_REWRITER.register_rewriter('torch.onnx.export')
    def export_by_torchscript(*args, **kwargs):
        # MMDeploy runs a copy of this function, so nothing from outside may be used in it.
        import warnings

        from mmdeploy.core import FUNCTION_REWRITER
        kwargs.setdefault('dynamo', False)
        with warnings.catch_warnings():  # that it is the older exporter is known
            warnings.filterwarnings('ignore', 'You are using the legacy TorchScript-based',
                                    DeprecationWarning)
            return FUNCTION_REWRITER.get_context('torch.onnx.export').origin_func(*args, **kwargs)


def _installed(finder: type) -> bool:
    return any(isinstance(found, finder) for found in sys.meta_path)


def supply_codebase() -> bool:
    """Make ``mmdeploy.codebase.mmrazor`` importable where MMDeploy was packed without it."""
    spec = importlib.util.find_spec('mmdeploy')
    if any(Path(root, 'codebase', 'mmrazor').is_dir()
           for root in (spec and spec.submodule_search_locations) or ()):
        return False
    if not _installed(_MissingCodebase):
        sys.meta_path.append(_MissingCodebase())
    return True


def ask_for_torchscript_exporter() -> bool:
    """Make MMDeploy's call of ``torch.onnx.export`` ask for the exporter it was written for."""
    import torch
    flag = inspect.signature(torch.onnx.export).parameters.get('dynamo')
    if flag is None or flag.default is False:
        return False
    if not _installed(_AfterImport):
        sys.meta_path.insert(0, _AfterImport())
        if 'mmdeploy' in sys.modules:
            _register_exporter()
    return True


REPAIRS = (
    RepairSpec('mmdeploy-codebase', 'mmdeploy',
               'the wheel has no codebase `mmrazor`, so no pruned model can be deployed',
               supply_codebase),
    RepairSpec('mmdeploy-exporter', 'mmdeploy',
               'torch.onnx.export is called without dynamo=False, and new torch then takes an '
               'exporter that ignores every MMDeploy rewriter',
               ask_for_torchscript_exporter),
)
