"""Rows for tests, with sensible values for all that a test does not care about."""

import itertools
from decimal import Decimal

from app.accounts.models import Profile, Role, User
from app.bots.models import Bot, BotMetrics
from app.db import db, utc_now
from app.exchanges.models import Exchange, ExchangeAccount, PaperBalance
from app.markets.models import MarketRow

_numbers = itertools.count(1)
# Of "correct horse battery staple", made once: hashing takes long on purpose.
PASSWORD = "correct horse battery staple"


def next_number() -> int:
    """Return a number that nothing else of this process has in its name."""
    return next(_numbers)


def account_number() -> int:
    """Return the number of a new exchange account, never used before in this process."""
    return 1_000_000 + next_number()


def make_user(role: Role = Role.CUSTOMER, *, confirmed: bool = True, **values: object) -> User:
    """Add a person; the password hash matches nothing."""
    number = next_number()
    user = User(
        email=f"person{number}@example.org",
        password_hash="!",
        role=role.value,
        confirmed_at=utc_now() if confirmed else None,
        profile=Profile(name=f"Person {number}"),
        **values,
    )
    db.session.add(user)
    db.session.flush()
    return user


def make_exchange(code: str = "bybit") -> Exchange:
    """Return an exchange of the catalogue, adding it if it is not there."""
    exchange = db.session.get(Exchange, code)
    if exchange is None:
        exchange = Exchange(code=code, name=code.capitalize(), enabled=True)
        db.session.add(exchange)
        db.session.flush()
    return exchange


def make_market(symbol: str = "BTC/USDT", exchange: str = "bybit") -> MarketRow:
    """Add a spot pair with a price."""
    make_exchange(exchange)
    base, quote = symbol.split("/")
    market = MarketRow(
        exchange=exchange,
        symbol=symbol,
        base=base,
        quote=quote,
        kind="spot",
        tick=Decimal("0.01"),
        lot=Decimal("0.000001"),
        min_quantity=Decimal("0.000001"),
        min_notional=Decimal(5),
        maker_fee=Decimal("0.001"),
        taker_fee=Decimal("0.001"),
        fee_side="received_asset",
        last_price=Decimal(60_000),
        last_price_at=utc_now(),
        last_seq=0,
    )
    db.session.add(market)
    db.session.flush()
    return market


def make_account(user: User, balance: Decimal = Decimal(10_000)) -> ExchangeAccount:
    """Add a paper account with USDT."""
    make_exchange("paper")
    make_exchange("bybit")
    account = ExchangeAccount(
        id=(number := account_number()),
        user_id=user.id,
        exchange="paper",
        venue="bybit",
        label=f"Paper {number - 1_000_000}",
        mode="paper",
        maker_fee=Decimal("0.001"),
        taker_fee=Decimal("0.001"),
    )
    db.session.add(account)
    db.session.flush()
    db.session.add(
        PaperBalance(account_id=account.id, currency="USDT", free=balance, locked=Decimal(0))
    )
    db.session.flush()
    return account


def make_bot(
    user: User,
    account: ExchangeAccount | None = None,
    market: MarketRow | None = None,
    **values: object,
) -> Bot:
    """Add a stopped grid bot."""
    account = account or make_account(user)
    market = market or make_market()
    fields: dict[str, object] = {
        "name": "Test grid",
        "strategy": "grid",
        "symbols": [market.symbol],
        "capital": Decimal(1000),
        "currency": market.quote,
        "mode": "paper",
        "state": "stopped",
        "state_since": utc_now(),
    }
    bot = Bot(user_id=user.id, account_id=account.id, market_id=market.id, **(fields | values))
    db.session.add(bot)
    db.session.flush()
    db.session.add(BotMetrics(bot_id=bot.id, updated_at=utc_now()))
    db.session.flush()
    return bot
