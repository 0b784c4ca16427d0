"""The files at the end of a GroupFisher run over the dependency graph."""
from __future__ import annotations

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmrazor.registry import HOOKS
from torch import nn

from razor_ext.algorithms.errors import TargetMissedError
from razor_ext.engine.averages import averaged_models
from razor_ext.graph import slice_model
from razor_ext.structure.export import write_compressed
from razor_ext.structure.slicing import static_copy

from .algorithm import GroupFisherAlgorithm
from .graph_mutator import GraphGroupFisherMutator
from .hooks import algorithm_of


def sliced_copy(algorithm: GroupFisherAlgorithm) -> nn.Module:
    """Copy the architecture without its pruned channels, to the CPU, in evaluation mode.

    Args:
        algorithm: with a mutator over the dependency graph.

    Raises:
        SliceError: the sliced model would not be the masked one.
    """
    mutator = algorithm.mutator
    mutator.hold_structure()
    model = static_copy(algorithm.architecture).eval()
    return slice_model(model, mutator.graph, mutator.keep_masks())


@HOOKS.register_module()
class GroupFisherExportHook(Hook):
    """Writes fix_subnet.json and compressed.pth when a run over the dependency graph has ended.

    Of an averaged model (EMA) where there is one, as in the checkpoints.
    """

    of_compression = True

    # After ResourceInfoHook, which fails if a threshold was missed.
    priority = 'BELOW_NORMAL'

    def before_run(self, runner: Runner) -> None:
        """Refuse a mutator whose units are not of the graph.

        Raises:
            TypeError: it is another one.
        """
        mutator = algorithm_of(runner).mutator
        if not isinstance(mutator, GraphGroupFisherMutator):
            raise TypeError(f'GroupFisherExportHook belongs to a GraphGroupFisherMutator, not to a '
                            f'{type(mutator).__name__}; remove it from custom_hooks')

    def after_train(self, runner: Runner) -> None:
        """Check the target and write the files.

        Raises:
            TargetMissedError: more of the FLOPs is left than the target allows, or nothing was
                pruned.
        """
        algorithm = algorithm_of(runner)
        reached, schedule = algorithm.mutator.current_ratio(), algorithm.schedule
        limit = 1.0 if schedule is None else schedule.target
        if reached > limit or algorithm.mutator.counts() == algorithm.mutator.choice_template:
            raise TargetMissedError(
                f'training ended with {reached:.4f} of the FLOPs left, the target is {limit}. The '
                'checkpoints are kept: the run was stopped early, resume it')
        if is_main_process():
            source = next(averaged_models(runner), algorithm)
            write_compressed(sliced_copy(source), source.mutator.counts(), runner.work_dir)
