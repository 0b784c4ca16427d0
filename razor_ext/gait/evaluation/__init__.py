from razor_ext.registry import keep_root_names

from .embeddings import BlockDistance, EmbeddingSet, part_distance
from .metrics import CASIABMetric, Gait3DMetric, GaitMetric, GREWSubmission, OUMVLPMetric
from .protocols import exclude_identical_views, retrieve, top_subjects, view_matrix

__all__ = [
    'BlockDistance', 'CASIABMetric', 'EmbeddingSet', 'GREWSubmission', 'Gait3DMetric', 'GaitMetric',
    'OUMVLPMetric', 'exclude_identical_views', 'part_distance', 'retrieve', 'top_subjects',
    'view_matrix',
]

keep_root_names(__name__)
