"""A bot on a real account, and the exchange behind it, for tests of ticks."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, update

from app.bots.live import real_side
from app.db import db
from app.exchanges.models import ExchangeAccount
from app.transactions import transaction
from tests.bots.fake_venue import FakeVenue
from tests.bots.live_world import World
from tests.factories import make_exchange, make_user


class Desk:
    """A bot on a real account, and the exchange behind it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **params: Any) -> None:
        self.world = World.make()
        self.venue = FakeVenue()
        monkeypatch.setattr(real_side, "open_venue", lambda account_id: self.venue)
        with transaction():
            make_exchange("bybit")
            account = ExchangeAccount(
                id=77,
                user_id=make_user().id,
                exchange="bybit",
                venue="bybit",
                label="Real",
                mode="live",
                maker_fee=Decimal("0.001"),
                taker_fee=Decimal("0.001"),
            )
            db.session.add(account)
        self.bot = self.world.add_bot(77, **params)
        self.play("100")

    def play(self, price: str, liquidity: Decimal | None = None) -> None:
        """Let a price happen, at the venue and in our feed."""
        self.venue.play(price, liquidity)
        self.world.play(price)

    def tick(self) -> Any:
        """Tick once."""
        return self.world.tick()

    def audit(self) -> Any:
        """Tick once, comparing everything."""
        self.change_account(audited_at=None)
        return self.tick()

    def change_account(self, **values: Any) -> None:
        """Change the account's row."""
        with transaction():
            change = update(ExchangeAccount).where(ExchangeAccount.id == 77)
            db.session.execute(change.values(**values))

    def account(self) -> Any:
        """Return the account's row as it is now."""
        with transaction():
            return db.session.execute(select(ExchangeAccount.__table__)).one()

    def orders(self, *statuses: str) -> list[Any]:
        """Return the bot's orders in these states."""
        return [o for o in self.world.orders(self.bot) if o.status in statuses]

    def assert_one_chain(self) -> None:
        """See that our books are those of the venue, and that no order stands twice."""
        open_now = self.orders("OPEN", "PARTIAL")
        assert {order.client_id for order in open_now} == self.venue.standing()
        assert len({(o.level, o.side) for o in open_now}) == len(open_now)
        assert len(self.venue.sent) == len(set(self.venue.sent))
        fills = self.world.fills(self.bot)
        assert sorted(fill.trade_id for fill in fills) == sorted(
            fill.trade_id for fill in self.venue.fills
        )
        metrics = self.world.metrics(self.bot)
        money = self.venue.balances()
        assert metrics.base == money["AAA"].total
        assert metrics.quote == money["USDT"].total - Decimal(9_000)
