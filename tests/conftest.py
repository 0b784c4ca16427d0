"""Upstream is repaired before any test module imports it; tests prove what they analyse."""
import os

import hypothesis

os.environ['RAZOR_EXT_PROOFS'] = ''  # what a test analyses is proved by it

import razor_ext  # noqa: F401

# A change is judged on the examples of the run before it; new ones are tried on purpose, by
# `pytest --hypothesis-profile=default`.
hypothesis.settings.register_profile('repeatable', derandomize=True, database=None)
hypothesis.settings.load_profile('repeatable')
