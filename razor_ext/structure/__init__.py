"""Structure files, shared by every pruning algorithm."""
from .fix_subnet import SubnetError, check_subnet, dump_subnet, load_subnet

__all__ = ['SubnetError', 'check_subnet', 'dump_subnet', 'load_subnet']
