"""Turn float layers into quantized ones, in place, and back."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .config import LayerConfig, QuantConfig, closest
from .errors import QuantConfigError
from .fast_path import disable_fast_path
from .layers import (
    QUANT_LAYERS,
    QuantEmbedding,
    QuantLayer,
    quant_type_of,
    swapped_type,
    type_name,
)
from .products import QuantMatmul, products_type
from .quantizer import Quantizer


@dataclass
class QuantizedLayerInfo:
    """One layer that multiplies.

    Attributes:
        name: dotted name.
        module: the layer.
        reason: why it stays float; None where it is quantized.
        weight: the quantized parameter, None without one.
        weight_quantizer: its quantizer, None where weights stay float.
        operand_quantizers: activation quantizers by operand name.
    """

    name: str
    module: nn.Module
    reason: str | None = None
    weight: nn.Parameter | None = None
    weight_quantizer: Quantizer | None = None
    operand_quantizers: dict[str, Quantizer] = field(default_factory=dict)


@dataclass(frozen=True)
class QuantizerHandle:
    """One quantizer with what it quantizes, for optimizers.

    Attributes:
        name: dotted name of the quantizer module.
        quantizer: the module.
        weight: the quantized parameter, None for an activation.
        bit_limits: fewest and most bits.
    """

    name: str
    quantizer: Quantizer
    weight: nn.Parameter | None

    @property
    def bit_limits(self) -> tuple[int, int]:
        return self.quantizer.bit_limits

    @property
    def log_d(self) -> nn.Parameter:
        return self.quantizer.log_d

    @property
    def log_q_m(self) -> nn.Parameter:
        return self.quantizer.log_q_m

    @property
    def log_t(self) -> nn.Parameter | None:
        return self.quantizer.log_t

    @property
    def signed(self) -> bool:
        return self.quantizer.signed

    @property
    def scaled_elements(self) -> int:
        return self.quantizer.elements if self.quantizer.lsq_grad_scale else 0


def quantize_model(model: nn.Module, config: QuantConfig,
                   products: Mapping[str, int] | None = None) -> list[QuantizedLayerInfo]:
    """Swap every registered layer of `model` for its quantized form, in place.

    Modules, parameters and their names stay; quantizers are added as children and must be set by
    `calibrate` (or a checkpoint) before the model runs. Layers that share a weight share its
    quantizer.

    Args:
        model: float model.
        config: what to quantize and how.
        products: modules that multiply activations, from `find_products(model, inputs)`; without
            it those of types that are not registered stay float, unnamed.

    Returns:
        Every layer that multiplies, those that stay float with a reason.

    Raises:
        QuantConfigError: the model is quantized already, nothing in it can be, or `config` names a
            layer that does not exist or cannot be quantized. The model is then unchanged.
    """
    types = layer_types(model, products or {})
    infos = _plan(model, config, types, products or {})
    shared: dict[tuple, Quantizer] = {}
    for info in infos:
        quant_type = types.get(info.name)
        if info.reason is None and quant_type is not None:
            _swap(info, quant_type, config.for_layer(info.name), shared,
                  _reference(info.module, model))
    disable_fast_path(model)
    return infos


def layer_types(model: nn.Module, products: Mapping[str, int]) -> dict[str, type[QuantLayer]]:
    """Return the class that would quantize each layer: the registered one, else of its products.

    Args:
        model: float model.
        products: see `quantize_model`.
    """
    types = {}
    for name, module in model.named_modules():
        found = quant_type_of(type(module))
        if found is None and products.get(name):
            found = products_type(products[name])
        if found is not None:
            types[name] = found
    return types


def _plan(model: nn.Module, config: QuantConfig, types: Mapping[str, type[QuantLayer]],
          products: Mapping[str, int]) -> list[QuantizedLayerInfo]:
    infos: list[QuantizedLayerInfo] = []
    called: set[int] = set()
    for name, module in model.named_modules():
        if isinstance(module, QuantLayer):
            raise QuantConfigError(f'layer {name!r} is quantized already; '
                                   'call remove_quantizers(model) first')
        reason = _float_reason(name, module, config, types.get(name), id(module) in called)
        if reason is None:
            called.update(map(id, types[name].called_children(module)))
        elif not reason and name in products:
            reason = 'its calls multiply activations differently'
        if reason is None or reason:
            infos.append(QuantizedLayerInfo(name, module, reason))
    known = {info.name: info for info in infos}
    for key, names in (('layers', config.layers), ('float_layers', config.float_layers)):
        for name in names:
            if name not in known:
                raise QuantConfigError(f'{key} names {name!r}, which is no layer of the model '
                                       f'that can be quantized{closest(name, known)}')
            if key == 'layers' and known[name].reason is not None:
                raise QuantConfigError(f'layers names {name!r}, which stays float: '
                                       f'{known[name].reason}')
    if all(info.reason is not None for info in infos):
        reasons = '; '.join(f'{info.name}: {info.reason}' for info in infos)
        kinds = ', '.join(t.__name__ for t in QUANT_LAYERS)
        raise QuantConfigError('no layer of the model can be quantized: '
                               + (reasons or f'it has none of {kinds}'))
    return infos


def _float_reason(name: str, module: nn.Module, config: QuantConfig,
                  quant_type: type[QuantLayer] | None, called: bool) -> str | None:
    """None to quantize, '' where there is nothing to quantize, else why the layer stays float."""
    if quant_type is None:
        base = next((t for t in type(module).__mro__ if t in QUANT_LAYERS), None)
        if base is not None:
            return (f'{type(module).__name__} overrides the forward of {base.__name__}; '
                    'register_quant_layer() a class for it')
        if any(p.dim() > 1 for p in module.parameters(recurse=False)):
            return f'{type(module).__name__} is not registered by register_quant_layer()'
        return ''
    reason = config.float_layers.get(name)
    if reason is None and quant_type.since > 1:
        if issubclass(quant_type, QuantMatmul) and not config.products:
            reason = 'products=False'
        elif issubclass(quant_type, QuantEmbedding) and not config.embeddings:
            reason = 'embeddings=False'
    return reason or (None if called else quant_type.refuse(module))


def _reference(module: nn.Module, model: nn.Module) -> Tensor:
    """A tensor whose device and type the scales take."""
    for owner in (module, model):
        for parameter in owner.parameters():
            return parameter
    return torch.zeros(())


def _swap(info: QuantizedLayerInfo, quant_type: type[QuantLayer], config: LayerConfig,
          shared: dict[tuple, Quantizer], reference: Tensor) -> None:
    module = info.module
    # Both are classes, which are hashable, whatever their instances are.
    module.__class__ = swapped_type(quant_type, type(module))  # type: ignore[arg-type]
    dtype = torch.float64 if reference.dtype == torch.float64 else torch.float32
    if quant_type.weight_name is not None and config.weight_bits is not None:
        info.weight = quant_type.weight_of(module)
        shape = [1] * info.weight.dim() if config.weight_granularity == 'channel' else [1]
        if config.weight_granularity == 'channel':
            shape[quant_type.weight_channel_dim] = info.weight.shape[quant_type.weight_channel_dim]
        key = (id(info.weight), tuple(shape), config.weight_bits, config.weight_power)
        if key not in shared:
            shared[key] = Quantizer(
                f'{info.name}.weight', 'signed', config.weight_bits, tuple(shape),
                config.weight_power, lsq_grad_scale=config.lsq_grad_scale,
            ).to(reference.device, dtype)
        info.weight_quantizer = module.weight_quantizer = shared[key]
    if config.activation_bits is not None:
        for operand in quant_type.operands:
            quantizer = Quantizer(
                f'{info.name}.{operand}', config.activation_scheme, config.activation_bits,
                power=config.activation_power, per_sample=True,
                lsq_grad_scale=config.lsq_grad_scale).to(reference.device, dtype)
            module.add_module(f'{operand}_quantizer', quantizer)
            info.operand_quantizers[operand] = quantizer


def remove_quantizers(model: nn.Module) -> None:
    """Give every quantized layer of `model` its float class back and drop the quantizers."""
    for _, module in quantized_layers(model):
        for name in ('weight', *module.operands):
            module._modules.pop(f'{name}_quantizer', None)
        module.__class__ = module.float_type  # type: ignore[assignment]


def quantized_layers(model: nn.Module) -> list[tuple[str, QuantLayer]]:
    """Return (name, module) of all quantized layers, in the order of registration."""
    return [(n, m) for n, m in model.named_modules() if isinstance(m, QuantLayer)]


def quantizer_handles(model: nn.Module) -> list[QuantizerHandle]:
    """Return every quantizer once, weights first in each layer, with the parameter it quantizes."""
    handles: dict[int, QuantizerHandle] = {}
    for name, module in quantized_layers(model):
        weight_quantizer = module.weight_quantizer_or_none
        if weight_quantizer is not None:
            weight = module.weight_of(module)
            handles.setdefault(id(weight_quantizer), QuantizerHandle(
                f'{name}.weight_quantizer', weight_quantizer, weight))
        for operand, quantizer in module.operand_quantizers().items():
            handles[id(quantizer)] = QuantizerHandle(f'{name}.{operand}_quantizer', quantizer, None)
    return list(handles.values())


def scale_followers(model: nn.Module) -> dict[str, list[tuple[str, int]]]:
    """Map a weight's name to the scales that must be sliced along with its output channels.

    Returns:
        Parameter name to (scale parameter name, dimension): scales per channel have as many
        dimensions as their weight, so the same indices select from the same dimension of both.
    """
    followers: dict[str, list[tuple[str, int]]] = {}
    seen: set[int] = set()
    for name, module in quantized_layers(model):
        quantizer = module.weight_quantizer_or_none
        if (quantizer is None or module.weight_name is None or quantizer.log_d.dim() == 1
                or id(quantizer) in seen):
            continue
        seen.add(id(quantizer))
        prefix = f'{name}.' if name else ''
        followers[prefix + module.weight_name] = [
            (f'{prefix}weight_quantizer.{scale}', module.weight_channel_dim)
            for scale in ('log_d', 'log_q_m')]
    return followers


def fix_bits(model: nn.Module) -> None:
    """Round every bit width, inside its quantizer's limits, and bind the step sizes to it."""
    for handle in quantizer_handles(model):
        handle.quantizer.fix_bits_()


@contextmanager
def float_mode(model: nn.Module) -> Iterator[None]:
    """Run `model` without quantization inside the block, whether calibrated or not."""
    quantizers = [handle.quantizer for handle in quantizer_handles(model)]
    before = [quantizer.enabled for quantizer in quantizers]
    try:
        for quantizer in quantizers:
            quantizer.enabled = False
        yield
    finally:
        for quantizer, enabled in zip(quantizers, before):
            quantizer.enabled = enabled


def bit_table(model: nn.Module) -> list[dict]:
    """Return one row per quantized layer: its name and type, and its present bit widths.

    Returns:
        Rows of `layer`, `type`, `weight_bits` (float or None) and `activation_bits` (operand name
        to float). Reads from the device.
    """
    rows = []
    for name, module in quantized_layers(model):
        weight = module.weight_quantizer_or_none
        rows.append({
            'layer': name,
            'type': type_name(module.float_type),
            'weight_bits': None if weight is None else weight.bits().item(),
            'activation_bits': {operand: quantizer.bits().item()
                                for operand, quantizer in module.operand_quantizers().items()},
        })
    return rows
