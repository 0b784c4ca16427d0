"""Linear layers over tokens: a MatMul and an Add, which ONNX Runtime must not fuse in float."""
from __future__ import annotations

import copy
import inspect
import io

import onnx
import pytest
import torch
from torch import Tensor, nn

from razor_ext.deploy.integers.audit import audit
from razor_ext.deploy.integers.grids import layer_grids
from razor_ext.deploy.integers.layer_parity import compare_layers, require_layers
from razor_ext.deploy.integers.qdq import insert_qdq
from razor_ext.deploy.session import run_onnx
from razor_ext.quantization import QuantConfig, calibrate, fix_bits, quantize_model


class TokenNet(nn.Module):
    """A transformer's MLP, with biases, and a layer without one whose output is added to."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(8, 12)
        self.norm = nn.LayerNorm(12)
        self.down = nn.Linear(12, 8)
        self.plain = nn.Linear(8, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.down(nn.functional.gelu(self.norm(self.up(x))))
        return self.plain(x) + x


def export(model: nn.Module, x: Tensor, dynamic: dict | None = None,
           opset: int = 13) -> onnx.ModelProto:
    options = {}
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        options['dynamo'] = False
    buffer = io.BytesIO()
    torch.onnx.export(model, (x,), buffer, opset_version=opset, input_names=['input'],
                      output_names=['output'], dynamic_axes=dynamic, **options)
    return onnx.load_from_string(buffer.getvalue())


@pytest.mark.parametrize('shape', [(2, 5, 8), (1, 5, 8), (6, 8), (2, 3, 5, 8)], ids=str)
@pytest.mark.parametrize('axes', [(), (0,), (0, 1)], ids=['static', 'batch', 'tokens'])
@pytest.mark.parametrize('granularity, bits', [('tensor', 8), ('channel', 4)])
def test_a_biased_linear_over_tokens_runs_on_integers(
        shape: tuple[int, ...], axes: tuple[int, ...], granularity: str, bits: int) -> None:
    torch.manual_seed(0)
    plain = TokenNet().eval()
    x = torch.randn(shape)
    model = copy.deepcopy(plain)
    quantize_model(model, QuantConfig(weight_bits=(bits, bits), activation_bits=(8, 8),
                                      weight_granularity=granularity))
    calibrate(model, [x])
    fix_bits(model)
    graph = export(plain, x, {'input': {axis: f'd{axis}' for axis in axes}} if axes else None)
    feeds = [{'input': x.numpy()}]
    exported = insert_qdq(graph, layer_grids(model.eval()), feeds)
    assert {layer.match.layer.name for layer in exported.integer} == {'up', 'down', 'plain'}
    audit(exported.model, exported.integer)
    require_layers(compare_layers(exported, model, feeds))
    _, ((got,),) = run_onnx(exported.model.SerializeToString(), [x])
    # The bias of a Gemm, of two dimensions, is rounded to steps of its accumulator.
    tolerance = 1e-4 if x.dim() > 2 else 1e-2
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(got), model(x), atol=tolerance, rtol=1e-4)


def test_sums_of_thousands_of_values_are_compared_exactly() -> None:
    width = 4096  # weights of both signs, in two halves: sums that a float32 holds only on the way
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(width, 8, bias=False)).eval()
    plain[0].weight.data.abs_()[:, width // 2:].neg_()
    x = torch.rand(1, 17, width)
    model = copy.deepcopy(plain)
    quantize_model(model, QuantConfig(weight_bits=(8, 8), activation_bits=(8, 8)))
    calibrate(model, [x])
    fix_bits(model)
    exported = insert_qdq(export(plain, x), layer_grids(model.eval()), [{'input': x.numpy()}])
    require_layers(compare_layers(exported, model, [{'input': x.numpy()}]))
