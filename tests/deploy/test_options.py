"""Options that would accept anything are refused."""
from __future__ import annotations

import pytest

from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.options import DeployOptions


@pytest.mark.parametrize('name', ['parity', 'integer'])
@pytest.mark.parametrize('value', [float('nan'), float('inf'), 0., -1.])
def test_a_threshold_is_a_positive_number(name: str, value: float) -> None:
    with pytest.raises(DeployError, match=f'{name} threshold must be positive and finite'):
        DeployOptions(**{f'{name}_threshold': value})
