"""A parametric 3-D body: gait silhouettes in CASIA-B's layout, coloured people with keypoints."""
from .body import Bag, Coat, Subject, sample_subject
from .figure import PARTS
from .gait_cycle import Walk, sample_walk, walk_joints
from .joint_map import joint_map_sequence
from .landmarks import KEYPOINTS, RULES
from .rng import keyed_rng
from .scene import Person, Scene, SceneOptions, render_scene
from .silhouette import CONDITIONS, VIEWS, normalise, silhouette_sequence
from .strip import silhouette_strip

__all__ = [
    'CONDITIONS', 'KEYPOINTS', 'PARTS', 'RULES', 'VIEWS', 'Bag', 'Coat', 'Person', 'Scene',
    'SceneOptions', 'Subject', 'Walk', 'joint_map_sequence', 'keyed_rng', 'normalise',
    'render_scene', 'sample_subject', 'sample_walk', 'silhouette_sequence', 'silhouette_strip',
    'walk_joints'
]
