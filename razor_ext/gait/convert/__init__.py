"""OpenGait's settings and checkpoints, translated to ours."""
from . import zoo
from .registry import MODEL_BUILDERS, NAME_MAPS, ModelContext, register_model, register_names
from .section import Section, SettingError

__all__ = [
    'MODEL_BUILDERS', 'NAME_MAPS', 'ModelContext', 'Section', 'SettingError', 'register_model',
    'register_names', 'zoo',
]
