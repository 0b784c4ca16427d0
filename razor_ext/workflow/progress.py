"""What a step is doing, and how long it and the rest will take."""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta

_TRAINING = re.compile(r'(?:Epoch|Iter)\(train\)\s+(?P<where>(?:\[[^\]]+\])+)')
_ETA = re.compile(r'\beta: (?:(?P<days>\d+) days?, )?(?P<h>\d+):(?P<m>\d+):(?P<s>\d+)')
#: Seconds that a step takes of which nothing is known.
_UNKNOWN = 60.


def seconds_left(line: str) -> float | None:
    """Return the seconds that a training has left by a line of its log; None if it says nothing."""
    found = _ETA.search(line)
    if found is None or not _TRAINING.search(line):
        return None
    days, hours, minutes, seconds = (int(value or 0) for value in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()


def position(line: str) -> str:
    """Return where a training is by a line of its log, `[1][ 50/150]`; '' if it is not said."""
    found = _TRAINING.search(line)
    return found['where'] if found else ''


@dataclass
class Estimate:
    """How long a pipeline takes.

    Attributes:
        kinds: kind and size of every step, by name: steps of one kind take times like their sizes.
        seconds: what finished steps took.
    """

    kinds: dict[str, tuple[str, float]]
    seconds: dict[str, float] = field(default_factory=dict)

    def rest(self, name: str, taken: float, left: float | None) -> float | None:
        """Return the seconds until the end of the pipeline; None if that cannot be said yet.

        Args:
            name: the step that runs.
            taken: seconds that it has run.
            left: seconds that it has left, if it says.
        """
        if left is None:
            return None
        known = {**self.seconds, name: taken + left}
        names = list(self.kinds)
        return left + sum(self._guess(later, known) for later in names[names.index(name) + 1:])

    def _guess(self, name: str, known: dict[str, float]) -> float:
        kind, size = self.kinds[name]
        same = [(seconds, self.kinds[other][1]) for other, seconds in known.items()
                if self.kinds[other][0] == kind and self.kinds[other][1]]
        total = sum(size for _, size in same)
        return size * sum(seconds for seconds, _ in same) / total if total else _UNKNOWN


def clock(seconds: float) -> str:
    """Return seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))
