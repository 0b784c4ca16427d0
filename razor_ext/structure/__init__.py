"""Pruned structures, their files, and the models built from them: shared by every algorithm."""
from .demo_input import build_demo_input
from .export import write_compressed
from .fix_subnet import SubnetError, check_subnet, dump_subnet, load_subnet
from .folder import CompressedFolder, load_compressed
from .hooks import CompressedModelHook
from .model import CompressedModel

__all__ = ['CompressedFolder', 'CompressedModel', 'CompressedModelHook', 'SubnetError',
           'build_demo_input', 'check_subnet', 'dump_subnet', 'load_compressed', 'load_subnet',
           'write_compressed']
