from razor_ext.registry import keep_root_names

from .augment import EraseSequence, FlipSequence, PerspectiveSequence, RotateSequence
from .dataset import GaitDataset
from .demo import GaitDemoDataset
from .pickle_io import SequenceError, load_pickle, load_sequence
from .published import (
    CASIABDataset,
    CASIAEDataset,
    CCGRMiniDataset,
    CCPGDataset,
    Gait3DDataset,
    GREWDataset,
    HIDDataset,
    OUMVLPDataset,
    SUSTech1KDataset,
)
from .samplers import RandomBatchSampler, TripletBatchSampler
from .store import SequenceKey, SilhouetteStore, is_store, write_store
from .transforms import (
    CropSides,
    LoadSilhouettes,
    PackGaitInputs,
    SampleFrames,
    read_sequence,
)
from .tree import read_partition, scan_tree, sequence_files

__all__ = [
    'CASIABDataset', 'CASIAEDataset', 'CCGRMiniDataset', 'CCPGDataset', 'CropSides',
    'EraseSequence', 'FlipSequence', 'GREWDataset', 'Gait3DDataset', 'GaitDataset',
    'GaitDemoDataset', 'HIDDataset', 'LoadSilhouettes', 'OUMVLPDataset', 'PackGaitInputs',
    'PerspectiveSequence', 'RandomBatchSampler', 'RotateSequence', 'SUSTech1KDataset',
    'SampleFrames', 'SequenceError', 'SequenceKey', 'SilhouetteStore', 'TripletBatchSampler',
    'is_store', 'load_pickle', 'load_sequence', 'read_partition', 'read_sequence', 'scan_tree',
    'sequence_files', 'write_store',
]

keep_root_names(__name__)
