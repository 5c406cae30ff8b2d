"""Whose turn it is at a model that must be loaded first: work of one model runs together, and that of another is not starved."""

from collections.abc import Iterable
from dataclasses import dataclass, field

# Loading takes a small machine 10 to 60 s: at most so much is done in a row while work for a model that is not loaded waits.
MOST_IN_A_ROW, LONGEST_IN_A_ROW_SECONDS = 40, 60


@dataclass
class ModelTurn:
    """What one worker has lately done in a row with models that were loaded, while others waited. Kinds and models are pairs."""

    began_at: float = 0.0
    count: int = 0
    _first: set[tuple[str, str]] = field(default_factory=set)

    def first(self, waiting: Iterable[tuple[str, str]], loaded: Iterable[str], now: float) -> set[tuple[str, str]]:
        """Which of the work that waits goes first. Empty: it is all the same."""
        pairs = set(waiting)
        ready = {pair for pair in pairs if _named(pair[1]) in set(map(_named, loaded))}
        if not ready or ready == pairs:
            self.count, self._first = 0, set()
            return set()
        is_over = self.count >= MOST_IN_A_ROW or not 0 <= now - self.began_at < LONGEST_IN_A_ROW_SECONDS
        self._first = ready
        return pairs - ready if self.count and is_over else ready

    def took(self, pair: tuple[str, str], now: float) -> None:
        if pair not in self._first:
            self.count = 0
            return
        if self.count == 0:
            self.began_at = now
        self.count += 1


def _named(model: str) -> str:
    return model.removesuffix(":latest")
