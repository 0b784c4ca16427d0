"""What a channel is worth: the part in which pruning algorithms differ."""
from __future__ import annotations

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .channel_index import ChannelIndex
from .mutator import GraphMutator


class Criterion(nn.Module):
    """Scores every channel of every unit, from the weights or from what training steps tell.

    What must survive a resumed run is a buffer. The base class records nothing.

    Example:
        >>> class Largest(Criterion):
        ...     def scores(self, index):
        ...         return index.norms()
    """

    def __init__(self) -> None:
        super().__init__()
        self._handles: list[RemovableHandle] = []

    def prepare(self, architecture: nn.Module, mutator: GraphMutator) -> None:
        """Look at the model once, when the algorithm is built.

        Args:
            architecture: the dense model.
            mutator: its units.
        """

    def attach(self) -> list[RemovableHandle]:
        """Attach what records a training step; removing the handles stops it."""
        return []

    def start_step(self) -> None:
        """Start recording a training step."""
        self.end_step()
        self._handles = self.attach()

    def end_step(self) -> None:
        """Stop recording."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def record(self, index: ChannelIndex, pruned: Tensor, num_samples: int,
               grad_scale: Tensor | float) -> None:
        """Take what the step says of the channels.

        Args:
            index: the channels, total C.
            pruned: Bool [C], pruned already.
            num_samples: samples of the step on this rank.
            grad_scale: factor on the loss (mixed precision) that the gradients still hold.
        """

    def scores(self, index: ChannelIndex) -> Tensor:
        """Return what each channel is worth [C]; the lowest are pruned first."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget what was recorded: channels have been pruned."""
