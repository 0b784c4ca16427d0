"""Blocks that hold how their channels are split between branches, or between stages.

`torch.split` takes one size for all parts, or a list of sizes; once parts are sliced differently a
module holds the list.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .fixers import Kept, part_sizes, register_fixer
from .stand_ins import StandIn, register_stand_in


def _parts(size: Any, count: int) -> Sequence[int]:
    """Sizes of the parts of a split, which may have been sliced before."""
    return size if isinstance(size, list) else [size] * count


@register_fixer('mmpose.models.backbones.rsn.RSB')
def fix_residual_steps(module: Any, kept: Kept) -> None:
    """RSN's block splits its channels between its steps."""
    module.branch_channels = part_sizes(
        kept.positions('conv_bn_relu1.conv.weight', 0),
        _parts(module.branch_channels, module.num_steps))


@register_fixer('mmdet.models.backbones.res2net.Bottle2neck',
                'mmpretrain.models.backbones.res2net.Bottle2neck')
def fix_scales(module: Any, kept: Kept) -> None:
    """Res2Net's block splits its channels between its scales."""
    module.width = part_sizes(kept.positions('conv1.weight', 0),
                              _parts(module.width, module.scales))


@register_fixer('mmpretrain.models.backbones.hornet.gnConv')
def fix_orders(module: Any, kept: Kept) -> None:
    """HorNet's convolution splits its channels between its orders."""
    if hasattr(module.dwconv, 'weight'):  # else a half of them is filtered by frequency
        module.dims = part_sizes(kept.positions('dwconv.weight', 0), module.dims)


@register_fixer('mmpretrain.models.backbones.van.VANBlock')
def fix_attention_block(module: Any, kept: Kept) -> None:
    """VAN folds its tokens back to maps of `out_channels` of a stage's last block."""
    module.out_channels = len(module.layer_scale_1)


@register_fixer('mmdet.models.backbones.pvt.AbsolutePositionEmbedding',
                'mmpose.models.backbones.pvt.AbsolutePositionEmbedding')
def fix_position_embedding(module: Any, kept: Kept) -> None:
    """PVT resizes its table of positions as a map of `pos_dim` channels."""
    module.pos_dim = module.pos_embed.shape[2]


@register_stand_in('mmpose.models.heads.heatmap_heads.mspn_head.MSPNHead')
class StagesHead(StandIn):
    """MSPN's head, which asserts one width for the maps of all stages and units."""

    predict_layers: Any
    num_stages: int
    num_units: int

    def forward(self, feats: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """Predict from the maps of every unit of every stage."""
        maps = [x for stage in feats for x in stage]
        if len(maps) != self.num_stages * self.num_units:
            raise ValueError(f'{len(maps)} feature maps are not {self.num_units} of each of '
                             f'{self.num_stages} stages')
        return [layer(x) for layer, x in zip(self.predict_layers, maps)]
