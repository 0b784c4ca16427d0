"""Models of OpenGait that have no counterpart, and why."""
from __future__ import annotations

_COLOUR = 'it takes colour images'
_GRAPH = 'it takes skeletons, as graphs of joints'
_UNLABELLED = 'it is pre-trained by contrast, without subjects'

#: Reason by `model_cfg.model`.
REFUSED = {
    'BigGait__Dinov2_Gaitbase': _COLOUR, 'BiggerGait__DINOv2': _COLOUR, 'DenoisingGait': _COLOUR,
    'FoundationGait_Scaling': _UNLABELLED, 'FoundationGait_Scaling_Finetune': _UNLABELLED,
    'FoundationGait_Scaling_LinearProbing_Scoliosis1K': _UNLABELLED,
    'GaitEdge': _COLOUR, 'Segmentation': _COLOUR, 'GaitGraph1': _GRAPH, 'GaitGraph2': _GRAPH,
    'GaitSSB_Finetune': _UNLABELLED, 'GaitSSB_Pretrain': _UNLABELLED, 'GaitTR': _GRAPH,
    'LidarGaitPlusPlus': 'it takes clouds of points', 'MultiScaleGaitGraph': _GRAPH,
    'ParsingGait': 'it joins body parts by graph convolutions',
    'SMPLGait': 'it takes the parameters of a body model beside the silhouettes',
    'ScoNet': 'it tells medical classes, not subjects',
    'SwinGait': 'it attends in windows of three frames, shifted and masked by the length of a '
                'sequence, and trains its parts at rates and by a schedule of its own',
}
