"""mmpose's visualization imports one name of torchvision at module level."""
from __future__ import annotations

import importlib

from .repair import RepairSpec
from .torchvision import torchvision_stand_in, torchvision_works


def mend_visualization() -> bool:
    """Import ``mmpose.visualization`` beside a stand-in torchvision, which is then taken away."""
    if torchvision_works():
        return False
    with torchvision_stand_in('transforms'):
        importlib.import_module('mmpose.visualization')
    return True


REPAIRS = (
    RepairSpec(
        'mmpose-torchvision', 'mmpose',
        'mmpose.visualization cannot be imported without a torchvision that fits torch',
        mend_visualization),
)
