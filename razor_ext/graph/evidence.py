"""What a proof rests on."""
from __future__ import annotations

import dataclasses

#: Shares of each unit that the random choices of a proof on the whole model remove.
LEAST, MOST = 0.25, 0.75


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What the proof of a graph compared.

    Args:
        whole: Choices of channels for which the masked and the sliced model were compared in
            float64 on the whole model.
        copies: Slim copies of the model, on each of which two choices were compared; 0 for a model
            that was proved on the whole.
        error: Largest difference that was found, relative to the largest output.
        remembered: Whether this was compared in an earlier run, and one more choice was tried now.
    """

    whole: int
    copies: int
    error: float
    remembered: bool = False

    def unseen(self, channels: int) -> float:
        """Bound the chance that a unit is wrong and the proof has not seen it.

        A unit that is wrong because one of its channels cannot be removed by itself is seen: each
        is removed in some comparison. What can stay unseen is a unit that takes channels for
        others, which a comparison sees only if it removes some of them and keeps some.

        Args:
            channels: Number of the channels that are interchanged, at least 2, at random places.

        Returns:
            The bound: of a random choice between 25 and 75 %, or, on slim copies, of all those
            channels lying in one half of each copy.
        """
        if channels < 2:
            raise ValueError(f'at least 2 channels can be interchanged, not {channels}')
        if self.copies:
            return min(1.0, 2.0 ** (self.copies - channels))
        return LEAST ** channels + MOST ** channels
