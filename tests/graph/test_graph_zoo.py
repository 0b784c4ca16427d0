"""Models of the field: what share of them is reachable, and that the units hold."""
from __future__ import annotations

import pytest

from razor_ext.graph import analyze

from .graph_zoo import ZOO, example

#: Less than 99 %: layer norms, and streams that are chunked and shuffled until all hangs together.
PARTLY = {'ConvNeXt-atto (timm)': 0.8, 'ViT-Ti (timm)': 0.93, 'ViTPose-S': 0.98,
          'Swin-T pose': 0.68, 'LiteHRNet-18 pose': 0.7, 'ShuffleNetV2 pose': 0.98}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize('name', [name for name in ZOO if not name.startswith('RTMPose')])
def test_model_of_the_field(name):
    build, shape = ZOO[name]
    graph = analyze(build().eval(), example(shape))
    assert graph.reachable_share > PARTLY.get(name, 0.99)
    assert graph.prove(0.5) < 1e-9


def test_unet_and_sequences():
    for name, units in (('UNet', 7), ('Temporal Conv1d net', 5)):
        build, shape = ZOO[name]
        graph = analyze(build().eval(), example(shape))
        assert len(graph.units) == units
        assert graph.prove(0.5) < 1e-9
