"""Pruned structures, their files, and the models built from them: shared by every algorithm."""
from .demo_input import build_demo_input
from .export import write_compressed
from .fix_subnet import StructureError, check_structure, dump_structure, load_structure
from .folder import CompressedFolder, load_compressed
from .hooks import CompressedModelHook
from .model import CompressedModel

__all__ = ['CompressedFolder', 'CompressedModel', 'CompressedModelHook', 'StructureError',
           'SubnetError', 'build_demo_input', 'check_structure', 'dump_structure',
           'load_compressed', 'load_structure', 'write_compressed']

#: Former name, of version 0.1.
SubnetError = StructureError
