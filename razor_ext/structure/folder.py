"""The folder that a run leaves: all that finetuning, testing and deployment need.

    config.py           the run's config; `model` is the dense architecture
    fix_subnet.json     channels kept by unit, in MMRazor's schema
    quant.json          the grids, if the model is quantized
    activations.json    what activations have become, if the run has exchanged some
    compressed.pth      the weights of the sliced model
    units.json          the analysed units of the dense model, see `unit_file`
"""
from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from torch import nn

from razor_ext.graph import ChannelUnit

from .activations import load_activations
from .fix_subnet import StructureError, load_structure
from .rebuild import find_units
from .unit_file import dense_hash, load_units, model_shapes

#: Name of the folder in a run's work directory.
FOLDER = 'compressed'
CONFIG, STRUCTURE, QUANT, WEIGHTS, UNITS, ACTIVATIONS = (
    'config.py', 'fix_subnet.json', 'quant.json', 'compressed.pth', 'units.json',
    'activations.json')
#: Where the files are made before they replace those of before.
STAGING = '.writing'
#: Key of the config that holds how the dense model was analysed: `demo_input`, `keep`.
ANALYSIS_KEY = 'compression'


@dataclass(frozen=True)
class CompressedFolder:
    """Content of a compressed folder.

    Attributes:
        path: the folder itself.
        config: the run's config, its `model` the dense architecture; None in a folder of old.
        structure: channels kept by unit.
        quant_path: quant.json; None for a float model.
        checkpoint_path: compressed.pth, which a finetune run writes at its end.
        units: the units of the dense model; empty in a folder of old, whose model is analysed.
        demo_input: config of the input on which the model is traced.
        keep: modules and parameters that the analysis leaves whole.
        dense: `dense_hash` of the dense model, None without units.
        activations: those that the run has exchanged, see `exchange_activations`.
    """

    path: Path
    config: Config | None
    structure: dict[str, int]
    quant_path: Path | None
    checkpoint_path: Path
    units: tuple[ChannelUnit, ...] = ()
    demo_input: Any = None
    keep: tuple[str, ...] = ()
    dense: str | None = None
    activations: Mapping[str, str] = field(default_factory=dict)

    def architecture(self) -> ConfigDict:
        """Return the config of the dense model, to be built under any default scope.

        Raises:
            StructureError: the folder has none.
        """
        if self.config is None:
            raise StructureError(f'{self.path} has no {CONFIG}, as folders of older releases have '
                                 'none; give `architecture`, the config of the dense model')
        scope = self.config.get('default_scope')
        model = self.config.model
        return model if scope is None else ConfigDict({'_scope_': scope, **model})

    def run_config(self, **arguments: Any) -> Config:
        """Return the run's config with the compressed model in the place of the dense one.

        Args:
            **arguments: of `CompressedModel`.

        Raises:
            StructureError: the folder has no config.
        """
        architecture, config = self.architecture(), copy.deepcopy(self.config)
        assert config is not None  # or there would be no architecture
        config.model = dict(_scope_='mmrazor', type='CompressedModel', compressed=str(self.path),
                            architecture=copy.deepcopy(architecture), **arguments)
        return config

    def find_units(self, model: nn.Module, demo_input: Any = None) -> list[ChannelUnit]:
        """Return the units of the dense model, which is analysed where the folder holds none.

        Args:
            model: the dense model, its batch norms not synchronised.
            demo_input: config of the input on which it is traced then; None for the folder's.

        Raises:
            StructureError: it is not the model whose units the folder holds.
        """
        self.check_model(model)
        return list(self.units) or find_units(model, demo_input or self.demo_input, self.keep)

    def check_model(self, model: nn.Module) -> None:
        """Refuse a dense model that is not the one whose units the folder holds.

        Raises:
            StructureError: names the file and both hashes.
        """
        if self.dense is None:
            return
        found = dense_hash(model_shapes(model), self.demo_input, self.keep)
        if found != self.dense:
            raise StructureError(
                f'{self.path / UNITS} belongs to another model: its dense model has the hash '
                f'{self.dense[:12]}, this {type(model).__name__} {found[:12]}. Give the '
                '`architecture` that was pruned, or none to take that of the folder; if it is the '
                'same network under other parameter names, delete the file, and its units are '
                'analysed again')


def find_folder(path: str | os.PathLike) -> Path:
    """Return the compressed folder of a path: the folder itself, or that of a work directory.

    Raises:
        StructureError: there is none, or it is not whole.
    """
    path = Path(path)
    if not os.path.isdir(path):
        raise StructureError(f'compressed folder {str(path)!r:.300} does not exist; give the '
                             f'`{FOLDER}` folder of a finished run, or its work directory')
    folder = path / FOLDER if (path / FOLDER).is_dir() else path
    if (folder / STRUCTURE).is_file():
        return folder
    if folder != path or (folder / WEIGHTS).is_file() or (folder / STAGING).is_dir():
        raise StructureError(f'{folder} has no {STRUCTURE}: its writing was interrupted; write it '
                             'again by tools/extract_compressed.py (files that were there before '
                             f'may be in {folder / STAGING / "before"})')
    raise StructureError(f'{path} is no compressed folder: neither it nor {path / FOLDER} has '
                         f'{STRUCTURE}; finish the run first, or extract one of its checkpoints by '
                         'tools/extract_compressed.py')


def load_compressed(folder: str | os.PathLike) -> CompressedFolder:
    """Read the compressed folder of a run.

    Args:
        folder: the folder, or the work directory of the run. A work directory of older releases,
            with `fix_subnet.json` in itself, is read too.

    Returns:
        What it holds; weights and grids by their paths.

    Raises:
        StructureError: it is not there, or a file of it is damaged.

    Example:
        >>> load_compressed('work_dirs/geta_prune_rtmpose-s').structure  # doctest: +SKIP
        {'backbone.stem.0.conv_(0, 16)_16': 12, ...}
    """
    path = find_folder(folder)
    config = _load_config(path / CONFIG) if (path / CONFIG).is_file() else None
    structure = load_structure(path / STRUCTURE)
    quant = path / QUANT if (path / QUANT).is_file() else None
    activations = activations_beside(path / STRUCTURE)
    if (path / UNITS).is_file():
        analysed = load_units(path / UNITS)
        return CompressedFolder(path, config, structure, quant, path / WEIGHTS, analysed.units,
                                analysed.demo_input, analysed.keep, analysed.dense, activations)
    how = {} if config is None else config.get(ANALYSIS_KEY, {})
    return CompressedFolder(path, config, structure, quant, path / WEIGHTS, (),
                            how.get('demo_input'), tuple(how.get('keep', ())),
                            activations=activations)


def activations_beside(structure: str | os.PathLike) -> dict[str, str]:
    """Read the exchanged activations in the folder of a structure file; none without that file.

    Raises:
        StructureError: it is damaged.
    """
    path = Path(structure).parent / ACTIVATIONS
    return load_activations(path) if path.is_file() else {}


def _load_config(path: Path) -> Config:
    try:
        config = Config.fromfile(path)
    except Exception as error:  # a config is code, which fails in any way
        raise StructureError(f'{path} cannot be read as a config ({type(error).__name__}: {error})'
                             '; if it is damaged, write the folder again by '
                             'tools/extract_compressed.py') from error
    if not isinstance(config.get('model'), ConfigDict) or 'type' not in config.model:
        raise StructureError(f'{path} has no `model` with a type, but {config.get("model")!r}; '
                             'write the folder again by tools/extract_compressed.py')
    return config


def find_file(path: str | os.PathLike) -> str:
    """Return a path; one of the file's name in the compressed folder beside it if only that exists.

    Configs of older releases name `WORK_DIR/fix_subnet.json` and the like.
    """
    path = os.fspath(path)
    if '://' in path or Path(path).exists():
        return path
    inner = Path(path).parent / FOLDER / Path(path).name
    if not inner.is_file():
        return path
    print_log(f'{path} does not exist, {inner} is read', logger='current')
    return str(inner)
