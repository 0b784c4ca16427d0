"""The family's registration; imports nothing of the family."""
from __future__ import annotations

from razor_ext.engine.families import Family

FAMILY = Family(
    name='toy',
    modules=('toy_family.models', 'toy_family.datasets', 'toy_family.compression'),
    deploy_modules=('toy_family.deployment', ),
    demo_inputs={'toy_family.models.ToyRegressor': (1, 2, 32)})
