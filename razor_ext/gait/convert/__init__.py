"""OpenGait's settings and checkpoints, translated to ours."""
from . import zoo
from .config_file import write_config
from .refused import REFUSED
from .registry import MODEL_BUILDERS, NAME_MAPS, ModelContext, register_model, register_names
from .section import Section, SettingError
from .settings import ConvertedSettings, convert_settings
from .yaml_file import read_settings

__all__ = [
    'MODEL_BUILDERS', 'NAME_MAPS', 'REFUSED', 'ConvertedSettings', 'ModelContext', 'Section',
    'SettingError', 'convert_settings', 'read_settings', 'register_model', 'register_names',
    'write_config', 'zoo',
]
