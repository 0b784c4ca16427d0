from razor_ext.registry import keep_root_names

from .embeddings import BlockDistance, EmbeddingSet, part_distance
from .metrics import GaitMetric
from .protocols import (
    exclude_identical_views,
    rank_matrices,
    retrieve,
    top_subjects,
    view_matrix,
)
from .rerank import k_reciprocal_distance
from .retrieval_metrics import CCGRMiniMetric, CCPGMetric, Gait3DMetric
from .submissions import GREWSubmission, HIDSubmission
from .view_metrics import CASIABMetric, CASIAEMetric, OUMVLPMetric, SUSTech1KMetric

__all__ = [
    'BlockDistance', 'CASIABMetric', 'CASIAEMetric', 'CCGRMiniMetric', 'CCPGMetric', 'EmbeddingSet',
    'GREWSubmission', 'Gait3DMetric', 'GaitMetric', 'HIDSubmission', 'OUMVLPMetric',
    'SUSTech1KMetric', 'exclude_identical_views', 'k_reciprocal_distance', 'part_distance',
    'rank_matrices', 'retrieve', 'top_subjects', 'view_matrix',
]

keep_root_names(__name__)
