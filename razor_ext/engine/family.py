"""What a model family says of itself; see `razor_ext.engine.families`."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

#: A shape [N, C, ...] with N = 1, the config of one of MMRazor's demo inputs, or a function of the
#: model that returns either, or None where it knows none.
DemoInput = Union[Sequence[int], Mapping[str, Any],
                  Callable[['nn.Module'], Union[Sequence[int], Mapping[str, Any], None]]]


@dataclass(frozen=True)
class Deployment:
    """What an exported file of a model looks like.

    Attributes:
        codebase: MMDeploy's `codebase_config`.
        input_names, output_names: of the graph, in order.
        input_shape: (width, height) of an image model's input; None where it is free.
        dynamic_axes: those of `torch.onnx.export`; empty for a static graph.
    """

    codebase: Mapping[str, Any]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    input_shape: tuple[int, int] | None = None
    dynamic_axes: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Distillation:
    """What a compressed model learns from the dense one, by `distill=True`.

    Attributes:
        methods: Dotted names of the model's methods whose results are compared, as training calls
            them: 'head.forward'.
        loss: Name of the loss in `razor_ext.distillation.DISTILL_LOSSES`.
        teacher_mode: Mode of the dense model's forward in which it calls the methods.
        options: Its arguments by default, among them `weight`, the factor of the loss.
    """

    methods: tuple[str, ...]
    loss: str
    teacher_mode: str = 'tensor'
    options: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """What compression has to know of one kind of models.

    Args:
        name: Unique name.
        requires: Top-level packages that `modules` cannot be imported without; where one is
            missing the family is left out.
        modules: Modules to import with `razor_ext`: they register models, datasets, fixers
            (`razor_ext.graph.register_fixer`), quantized layers
            (`razor_ext.quantization.register_quant_layer`).
        deploy_modules: Modules to import before a deployment: they register with MMDeploy, which
            need not be installed.
        demo_inputs: Input that a model is traced on, by 'package.module.Type' of the model; it
            serves subclasses too.
        deployments: How a model is exported, by its type as in `demo_inputs`: a `Deployment`, or a
            function of the model that returns one, or None where it knows none.
        distillations: What is distilled of a model, by its type as in `demo_inputs`: a
            `Distillation`, or a function of the model that returns one, or None where it knows
            none. For a model that no family knows, its outputs are.
        pruned_as: Settings of a model's config under which a run compresses it, where they differ
            from those under which it is deployed; by its type as in `demo_inputs`.
        samples: Random input file content of a deployment, by MMDeploy's name of the task: a
            function of a NumPy generator.
        config_input: Where the input that a model is traced on is known by the config of a run
            only: a function of that config and of its dense model's, which returns a demo input, or
            None for the model of another family.
        hooks: Names of hooks that every run of the tools gets; each looks whether it is concerned.
    """

    name: str
    requires: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    deploy_modules: tuple[str, ...] = ()
    demo_inputs: Mapping[str, DemoInput] = field(default_factory=dict)
    deployments: Mapping[str, Deployment | Callable[[nn.Module], Deployment | None]] = field(
        default_factory=dict)
    distillations: Mapping[str, Distillation | Callable[[nn.Module], Distillation | None]] = field(
        default_factory=dict)
    pruned_as: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    samples: Mapping[str, Callable[[np.random.Generator], np.ndarray]] = field(
        default_factory=dict)
    config_input: Callable[[Mapping[str, Any], Mapping[str, Any]],
                           Sequence[int] | Mapping[str, Any] | None] | None = None
    hooks: tuple[str, ...] = ()
