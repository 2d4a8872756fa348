"""A clock that tests move: every module of the product reads it."""

import sys
from datetime import datetime, timedelta

import pytest

from app.db import utc_now


class Clock:
    """Stands still until it is moved; put into every module that asks for the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = utc_now()
        for name, module in list(sys.modules.items()):
            if name.startswith("app.") and getattr(module, "utc_now", None) is utc_now:
                monkeypatch.setattr(module, "utc_now", self.read)

    def read(self) -> datetime:
        """Return the time, a little later at each question, as time goes on."""
        self.now += timedelta(microseconds=1)
        return self.now

    def pass_(self, **span: float) -> datetime:
        """Let some time pass, in words of `timedelta`."""
        self.now += timedelta(**span)
        return self.now

    def reach(self, moment: datetime) -> None:
        """Go on to a moment."""
        self.now = max(self.now, moment)
