"""What RTMPose needs beyond MMPose: synthetic people, and its quantized attention unit."""
from .datasets import SyntheticPeople, SyntheticPeopleHalpe26
from .people import ensure_people
from .quantized import QuantRTMCCBlock

__all__ = ['QuantRTMCCBlock', 'SyntheticPeople', 'SyntheticPeopleHalpe26', 'ensure_people']
