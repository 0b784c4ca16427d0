"""What the command-line tools share: config checking, launching, atomic files."""
from .atomic import atomic_write, write_json
from .config_check import UnreadKeyError, check_config
from .tool_config import load_tool_config

__all__ = ['UnreadKeyError', 'atomic_write', 'check_config', 'load_tool_config', 'write_json']
