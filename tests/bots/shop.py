"""A customer with paper money, a pair with prices, and bots made as a page makes them."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import insert

from app.accounts.models import User
from app.bots import service, starting
from app.bots.live import tick_accounts
from app.bots.models import Bot
from app.bots.planning import prospect
from app.db import db, utc_now
from app.exchanges.models import ExchangeAccount
from app.markets.models import CandleRow, MarketRow, PricePointRow
from app.markets.points import forget_points
from app.subscriptions.queries import forget_price_list
from app.subscriptions.service import seed_plans
from app.transactions import after_commit, transaction
from tests.bots.stock import Stock, is_empty
from tests.factories import account_number, make_account, make_market, make_user, next_number

# What the first shop of a process was made of.
_stock: list[Stock] = []
HOLDER = "place-1"
GRID: dict[str, Any] = {
    "lower": Decimal(90),
    "upper": Decimal(110),
    "grids": Decimal(10),
    "investment": Decimal(1000),
    "reserve": Decimal("0.05"),
}


@dataclass
class Shop:
    """Ids of what a test works with; rows are read anew by whoever needs them."""

    user_id: int
    account_id: int
    market_id: int

    @classmethod
    def open(cls, balance: Decimal = Decimal(10_000), price: Decimal = Decimal(100)) -> "Shop":
        """Make a customer with a paper account and a pair at a price."""
        forget_points()
        with transaction():
            fresh = is_empty()
            if fresh and _stock:
                return cls._from(_stock[0], balance, price)
            seed_plans()
            user = make_user()
            account = make_account(user, balance)
            market = make_market("AAA/USDT")
            market.tick, market.lot = Decimal("0.01"), Decimal("0.0001")
            market.min_quantity, market.min_notional = Decimal("0.0001"), Decimal(1)
            market.last_price = None
            shop = cls(user.id, account.id, market.id)
        shop.play(price)
        if fresh:
            with transaction():
                _stock.append(Stock.read())
        return shop

    @classmethod
    def _from(cls, stock: Stock, balance: Decimal, price: Decimal) -> "Shop":
        after_commit(forget_price_list)
        number = next_number()
        account_id = account_number()
        user_id, market_id = stock.put_back(number, account_id, balance, price)
        return cls(user_id, account_id, market_id)

    @property
    def user(self) -> User:
        """Return the customer."""
        return db.session.get_one(User, self.user_id)

    def play(self, *prices: Decimal | int | str) -> None:
        """Let prices happen now, a moment apart."""
        with transaction():
            market = db.session.get_one(MarketRow, self.market_id, populate_existing=True)
            now = utc_now() - timedelta(milliseconds=len(prices))
            at = now
            for seq, price in enumerate(map(Decimal, prices), market.last_seq + 1):
                at += timedelta(milliseconds=1)
                db.session.add(PricePointRow(market_id=market.id, seq=seq, at=at, price=price))
                market.last_seq, market.last_price, market.last_price_at = seq, price, at

    def add_history(self, days: int) -> None:
        """Add candles of an hour that swing between 90 and 110."""
        with transaction():
            now = utc_now().replace(minute=0, second=0, microsecond=0)
            rows = []
            for hour in range(days * 24):
                middle = Decimal(90) + (hour % 21)
                rows.append(
                    {
                        "market_id": self.market_id,
                        "timeframe": "1h",
                        "opened_at": now - timedelta(hours=hour),
                        "open": middle,
                        "high": middle + 1,
                        "low": middle - 1,
                        "close": middle,
                        "volume": Decimal(1),
                    }
                )
            db.session.execute(insert(CandleRow), rows)

    def add_bot(self, name: str = "My grid", **params: Any) -> int:
        """Make a bot as the create page does."""
        with transaction():
            return service.create_bot(
                self.user_id, self.account_id, self.market_id, "grid", {**GRID, **params}, name
            )

    def start(self, bot_id: int) -> None:
        """Start a bot whose summary was read just now."""
        with transaction():
            seen = prospect(db.session.get_one(Bot, bot_id)).seen
            starting.request_start(self.user_id, bot_id, seen)

    def tick(self) -> None:
        """Tick the account as a worker would."""
        tick_accounts([self.account_id], HOLDER)

    def run_bot(self, *prices: Decimal | int | str, **params: Any) -> int:
        """Make a bot, start it and let it trade over prices."""
        bot_id = self.add_bot(**params)
        self.start(bot_id)
        self.tick()
        for price in prices:
            self.play(price)
            self.tick()
        return bot_id

    def bot(self, bot_id: int) -> Bot:
        """Return a bot's row as it is now."""
        db.session.rollback()
        return db.session.get_one(Bot, bot_id, populate_existing=True)

    def set_bot(self, bot_id: int, **values: Any) -> None:
        """Put a bot into a state that is hard to reach otherwise."""
        with transaction():
            bot = db.session.get_one(Bot, bot_id)
            for name, value in values.items():
                setattr(bot, name, value)

    def account(self) -> ExchangeAccount:
        """Return the account's row."""
        return db.session.get_one(ExchangeAccount, self.account_id)
