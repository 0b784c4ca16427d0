"""Sizes that mmpretrain's modules hold as Python attributes, corrected once they are sliced."""
from __future__ import annotations

from typing import TYPE_CHECKING

from razor_ext.graph import Kept, register_fixer

if TYPE_CHECKING:
    from mmpretrain.models.backbones.repvgg import RepVGGBlock


@register_fixer('mmpretrain.models.backbones.repvgg.RepVGGBlock')
def fix_repvgg_block(module: RepVGGBlock, kept: Kept) -> None:
    """Re-parametrisation makes one convolution of these sizes of the branches."""
    conv = module.branch_reparam if module.deploy else module.branch_3x3.conv
    module.in_channels, module.out_channels = conv.in_channels, conv.out_channels
    module.groups = conv.groups
