"""A parametric 3-D body: gait silhouettes in CASIA-B's layout."""
from .body import Bag, Coat, Subject, sample_subject
from .gait_cycle import Walk, sample_walk, walk_joints
from .rng import keyed_rng
from .silhouette import CONDITIONS, VIEWS, normalise, silhouette_sequence

__all__ = [
    'CONDITIONS', 'VIEWS', 'Bag', 'Coat', 'Subject', 'Walk', 'keyed_rng', 'normalise',
    'sample_subject', 'sample_walk', 'silhouette_sequence', 'walk_joints'
]
