"""A small network with everything between layers that RTMPose has, quantized and exported."""
from __future__ import annotations

import inspect
import io

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from razor_ext.quantization import QuantConfig, calibrate, fix_bits, quantize_model


class SmallNet(nn.Module):
    """SiLU, depthwise convolution, addition, concatenation, pooling, attention, linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = self._block(3, 8, nn.SiLU(), stride=2)
        self.depthwise = self._block(8, 8, nn.ReLU(), groups=8)
        self.pointwise = self._block(8, 8, nn.SiLU(), kernel=1)
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.attention = nn.Conv2d(16, 16, 1)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.last = nn.Conv2d(16, 6, 3, dilation=2)
        self.hidden = nn.Linear(8, 10)
        self.output = nn.Linear(10, 5, bias=False)

    @staticmethod
    def _block(inputs: int, outputs: int, activation: nn.Module, stride: int = 1, groups: int = 1,
               kernel: int = 3) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs), activation)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.pointwise(self.depthwise(x)) + x
        x = torch.cat([self.pool(y), x], 1)
        x = x * nn.functional.hardsigmoid(self.attention(self.squeeze(x)))
        return self.output(nn.functional.silu(self.hidden(self.last(x).flatten(2)))).sum(1)


def batches(count: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, 3, 16, 12, generator=generator) for _ in range(count)]


def feeds(count: int = 3) -> list[dict[str, np.ndarray]]:
    return [{'input': batch.numpy()} for batch in batches(count)]


def float_net() -> nn.Module:
    """Network in eval mode; some BatchNorm factors are negative, one is 0."""
    torch.manual_seed(0)
    model = SmallNet()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.2, 0.6)
    with torch.no_grad():
        model.stem[1].weight[2] *= -1
        model.stem[1].weight[5] = 0
    return model.eval()


def quantized_net(config: QuantConfig | None = None) -> nn.Module:
    """The same network, quantized, calibrated and fixed to whole widths."""
    model = float_net()
    quantize_model(model, config or QuantConfig(weight_bits=(8, 8), activation_bits=(8, 8)))
    calibrate(model, batches())
    fix_bits(model)
    return model.eval()


def export(model: nn.Module, opset: int = 13) -> onnx.ModelProto:
    """Export by TorchScript, as MMDeploy does."""
    options = {}
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        options['dynamo'] = False
    buffer = io.BytesIO()
    torch.onnx.export(model, (batches(1)[0],), buffer, opset_version=opset, input_names=['input'],
                      output_names=['output'], dynamic_axes={'input': {0: 'batch'}}, **options)
    return onnx.load_from_string(buffer.getvalue())
