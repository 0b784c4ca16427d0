"""Synthetic people as MMPose data sets."""
from .datasets import SyntheticPeople, SyntheticPeopleHalpe26
from .people import ensure_people

__all__ = ['SyntheticPeople', 'SyntheticPeopleHalpe26', 'ensure_people']
