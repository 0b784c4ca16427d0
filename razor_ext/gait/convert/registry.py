"""What OpenGait's models are called here: their settings and their parameters.

A model has a file of its own in `zoo/`, which registers two functions:

- a builder under the name of `model_cfg.model`, which turns the settings of the model into the
  config of a recogniser;
- a name map under the class of the part that tells the model, its neck, pooling or backbone, which
  gives the official name of a parameter.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mmengine.model import BaseModel
from torch import nn

from .section import Section, SettingError


@dataclass
class ModelContext:
    """What a builder knows beside `model_cfg`.

    Attributes:
        dataset (str): `data_cfg.dataset_name`; GaitGL has another shape on some sets.
        losses (Mapping[str, dict]): Configs of the losses by `log_prefix`.
        unused (set[str]): Prefixes of the losses that the builder has not taken.
    """

    dataset: str
    losses: Mapping[str, dict]
    unused: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.unused = set(self.losses)

    def head_losses(self) -> dict[str, dict]:
        """The two usual losses, as arguments of a head: `triplet` and `softmax`, where given."""
        wanted = {'triplet': 'loss_triplet', 'softmax': 'loss_cls'}
        self.unused -= set(wanted)
        return {ours: self.losses[prefix] for prefix, ours in wanted.items()
                if prefix in self.losses}


#: Reads its section and gives the config of a recogniser, without `type`.
Builder = Callable[[Section, ModelContext], dict]
#: Official name of an entry of a model's state dict, or None where there is none.
NameMap = Callable[[BaseModel, str], 'str | None']

MODEL_BUILDERS: dict[str, Builder] = {}
#: Pickles of a sequence that a model reads, where it is not one.
PICKLES: dict[str, int] = {}
NAME_MAPS: dict[type[nn.Module], NameMap] = {}


def register_model(name: str, pickles: int = 1) -> Callable[[Builder], Builder]:
    """Register a builder for a `model_cfg.model`, and how many pickles of a sequence it reads."""
    def decorate(builder: Builder) -> Builder:
        if name in MODEL_BUILDERS:
            raise KeyError(f'two builders for model {name!r}')
        MODEL_BUILDERS[name] = builder
        if pickles != 1:
            PICKLES[name] = pickles
        return builder
    return decorate


def register_names(*parts: type[nn.Module]) -> Callable[[NameMap], NameMap]:
    """Register a name map for the recognisers that have one of these necks, poolings or backbones.

    The neck is looked up first, then the pooling, then the backbone.
    """
    def decorate(names: NameMap) -> NameMap:
        for part in parts:
            if part in NAME_MAPS:
                raise KeyError(f'two name maps for {part.__name__}')
            NAME_MAPS[part] = names
        return names
    return decorate


def build_model(model: Section, context: ModelContext) -> dict:
    """Translate the settings of a model.

    Args:
        model (Section): `model_cfg`.
        context (ModelContext): Data set and losses.

    Returns:
        dict: Config of a `GaitRecognizer`.

    Raises:
        SettingError: If the model is unknown, or a setting or a loss has no counterpart.
    """
    builder = model.choice('model', MODEL_BUILDERS)
    config = {'type': 'GaitRecognizer', **builder(model, context)}
    model.done()
    if context.unused:
        raise SettingError(f'loss_cfg: {model.get("model")} has nothing under log_prefix '
                           f'{sorted(context.unused)}')
    return config
