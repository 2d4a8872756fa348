"""A bot on a real account whose exchange is in this process, without HTTP and without patience."""

from datetime import timedelta
from typing import Any

import pytest

from app.bots.live import clock, real_side
from tests.bots.live_world import wander
from tests.doubles.bybit.faults import Faults
from tests.doubles.bybit.operator import Operator
from tests.doubles.bybit.server import Hand, Limits
from tests.doubles.bybit.venue import Venue
from tests.doubles.fake_exchange import FakeExchange
from tests.doubles.live import CONTRACT, FIRST, LiveWorld

KEY = "customer-one-of-the-stand-in"
PAIRS = {FIRST: ("spot", "AAAUSDT"), CONTRACT: ("linear", "AAAUSDT")}


class FakeStage:
    """A bot that wants to start at 100, and what it trades."""

    def __init__(self, patch: pytest.MonkeyPatch, symbol: str, params: dict[str, Any]) -> None:
        venue, faults = Venue(), Faults()
        self.live = LiveWorld(Hand(Operator(venue, faults, Limits())))
        self.live.play("100")
        self.symbol = symbol
        if symbol != FIRST:
            self.live.world_of(symbol)
            self.live.play("100", symbol=symbol)
        (self.bot,) = self.live.add_fake_seat(KEY, symbol, **params).bots
        self.exchange = FakeExchange(venue, KEY, PAIRS, faults)
        patch.setattr(real_side, "open_venue", lambda account_id: self.exchange)
        patch.setattr(clock, "GRACE", timedelta(0))
        patch.setattr(clock, "RESTORE_AFTER", timedelta(0))

    def trade(self, seed: int, count: int, step: str = "4") -> None:
        """Let prices happen, each looked at."""
        for price in wander(seed, count, step=step):
            self.live.play(price, symbol=self.symbol)
            self.live.tick()
