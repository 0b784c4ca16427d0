"""Sizes that MMPose's modules hold as Python attributes, corrected once they are sliced."""
from __future__ import annotations

from typing import TYPE_CHECKING

from razor_ext.graph import Kept, register_fixer
from razor_ext.graph.fixers import part_sizes

if TYPE_CHECKING:
    from mmpose.models.backbones.litehrnet import CrossResolutionWeighting
    from mmpose.models.utils.rtmcc_block import RTMCCBlock


@register_fixer('mmpose.models.utils.rtmcc_block.RTMCCBlock')
def fix_gated_attention_unit(module: RTMCCBlock, kept: Kept) -> None:
    """`e` is the width of u and v, `s` that of the shared base; `sqrt_s` stays what it was."""
    module.e = module.o.in_features
    module.s = len(kept.positions('uv.weight', 0)) - (
        2 * module.e if module.attn_type == 'self-attn' else module.e)


@register_fixer('mmpose.models.backbones.litehrnet.CrossResolutionWeighting')
def fix_cross_resolution_weighting(module: CrossResolutionWeighting, kept: Kept) -> None:
    """`channels` are the widths of the streams whose weights are split apart again."""
    module.channels = type(module.channels)(
        part_sizes(kept.positions('conv2.conv.weight', 0), module.channels))
