"""Waiting for news: somebody may say that there is some, and what nobody says is looked for."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any


class BaseWatch(ABC):
    """The contract's `Watch` over what an adapter can hear and see."""

    look_seconds: float
    """How often to look while nobody says anything."""

    seen: Any = None
    """What there was to be seen last."""

    @abstractmethod
    def look(self) -> object:
        """Something that is another thing after every commit."""

    @abstractmethod
    def hear(self, seconds: float) -> bool:
        """Whether somebody says within that time that there is news."""

    def wait(self, seconds: float) -> bool:
        """See the contract."""
        end = time.monotonic() + seconds
        while True:
            newest = self.look()
            if newest != self.seen:
                self.seen = newest
                return True
            left = end - time.monotonic()
            if self.hear(max(0.0, min(left, self.look_seconds))):
                self.seen = self.look()
                return True
            if left <= 0:
                return False
