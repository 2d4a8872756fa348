"""A small world for live ticks: one pair, people with paper money, grids, and prices on demand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from sqlalchemy import func, insert, select, update

from app.bots.live import TickReport, tick_accounts
from app.bots.models import Bot, BotConfig, BotEvent, BotMetrics, BotState
from app.db import db, utc_now
from app.exchanges.models import ExchangeAccount, PaperBalance, PaperFill, PaperOrder
from app.markets.models import MarketRow, PricePointRow
from app.markets.points import forget_points
from app.trades.models import FillRow, OrderRow, TradeRow
from app.trading.market import Candle, candle_path
from app.transactions import transaction
from tests.factories import make_account, make_market, make_user

START = datetime(2026, 1, 5, tzinfo=UTC)
HOLDER = "place-1"
GRID: dict[str, Any] = {
    "lower": "90",
    "upper": "110",
    "grids": 10,
    "investment": "1000",
    "reserve": "0.05",
}


@dataclass
class World:
    """One pair; accounts and bots are added as a test needs them."""

    market_id: int
    owners: dict[str, int] = field(default_factory=dict)
    deposit: Decimal = Decimal(10_000)

    @classmethod
    def make(cls) -> "World":
        """Make the pair: ticks of a cent, lots of a ten-thousandth."""
        forget_points()
        with transaction():
            market = make_market("AAA/USDT")
            market.tick, market.lot = Decimal("0.01"), Decimal("0.0001")
            market.min_quantity, market.min_notional = Decimal("0.0001"), Decimal(1)
            market.last_price, market.last_price_at = None, None
            # Prices of a world happen long ago.
            market.stale_after_s = 10**9
            return cls(market.id)

    def add_account(self, balance: Decimal = Decimal(10_000)) -> int:
        """Add a paper account, of a person of its own."""
        with transaction():
            return make_account(make_user(), balance).id

    def add_bot(self, account_id: int | None = None, **params: Any) -> int:
        """Add a grid bot that wants to start."""
        account_id = account_id or self.add_account()
        given = {**GRID, **params}
        capital = Decimal(given["investment"])
        with transaction():
            market = db.session.get_one(MarketRow, self.market_id)
            bot = Bot(
                user_id=db.session.get_one(ExchangeAccount, account_id).user_id,
                account_id=account_id,
                market_id=market.id,
                name="Grid",
                strategy="grid",
                symbols=[market.symbol],
                capital=capital,
                currency=market.quote,
                mode="paper",
                state=BotState.STARTING.value,
                state_since=utc_now(),
                epoch=1,
                next_tick_at=utc_now(),
            )
            db.session.add(bot)
            db.session.flush()
            db.session.add(
                BotConfig(bot_id=bot.id, version=1, strategy="grid", params=given, capital=capital)
            )
            db.session.add(
                BotMetrics(
                    bot_id=bot.id,
                    deposited=capital,
                    quote=capital,
                    peak_equity=capital,
                    updated_at=utc_now(),
                )
            )
            return bot.id

    # --- prices -------------------------------------------------------------------------------

    def play(self, *prices: Decimal | str | int, funding: Decimal | None = None) -> None:
        """Let prices happen, one a second; a rate of funding falls due at the first of them."""
        with transaction():
            market = db.session.get_one(MarketRow, self.market_id)
            rows: list[dict[str, Any]] = []
            for seq, price in enumerate(map(Decimal, prices), market.last_seq + 1):
                at = START + timedelta(seconds=seq)
                due = funding if not rows else None
                rows.append(
                    {"market_id": market.id, "seq": seq, "at": at, "price": price, "funding": due}
                )
            db.session.execute(insert(PricePointRow), rows)
            last = rows[-1]
            market.last_seq, market.last_price, market.last_price_at = (
                last["seq"],
                last["price"],
                last["at"],
            )

    # --- ticks --------------------------------------------------------------------------------

    def tick(self, holder: str = HOLDER) -> TickReport:
        """Tick every account."""
        return tick_accounts(self.accounts(), holder)

    def accounts(self) -> list[int]:
        """Return all accounts."""
        with transaction():
            return list(db.session.scalars(select(ExchangeAccount.id)))

    def change_bot(self, bot_id: int, **values: Any) -> None:
        """Change a bot's row as the service would."""
        with transaction():
            db.session.execute(update(Bot).where(Bot.id == bot_id).values(**values))

    def restart_bot(self, bot_id: int) -> None:
        """Start a stopped bot again as the service would."""
        self.change_bot(
            bot_id,
            state="starting",
            epoch=Bot.epoch + 1,
            strategy_state=None,
            stop_request=None,
            failures=0,
            wake_below=None,
            wake_above=None,
        )

    def remember_owners(self) -> None:
        """Note whose each order is, for `bot_of_order`."""
        self.owners = {o.client_id: o.bot_id for o in _all(select(OrderRow.__table__))}

    def bot_of_order(self, client_id: str) -> int | None:
        """Return whose an order is, without asking the database."""
        return self.owners.get(client_id)

    # --- reading ------------------------------------------------------------------------------

    def bot(self, bot_id: int) -> Any:
        """Return a bot's row as it is now."""
        return _one(select(Bot.__table__).where(Bot.id == bot_id))

    def metrics(self, bot_id: int) -> Any:
        """Return a bot's sums as they are now."""
        return _one(select(BotMetrics.__table__).where(BotMetrics.bot_id == bot_id))

    def orders(self, bot_id: int) -> list[Any]:
        """Return a bot's orders, oldest first."""
        return _all(select(OrderRow.__table__).where(OrderRow.bot_id == bot_id), OrderRow.id)

    def fills(self, bot_id: int) -> list[Any]:
        """Return a bot's fills, oldest first."""
        return _all(select(FillRow.__table__).where(FillRow.bot_id == bot_id), FillRow.id)

    def trades(self, bot_id: int) -> list[Any]:
        """Return a bot's round trips, oldest first."""
        return _all(select(TradeRow.__table__).where(TradeRow.bot_id == bot_id), TradeRow.id)

    def events(self, bot_id: int) -> list[str]:
        """Return the codes in a bot's log, oldest first."""
        return [row.code for row in self.log(bot_id)]

    def log(self, bot_id: int) -> list[Any]:
        """Return the lines of a bot's log, oldest first."""
        return list(_all(select(BotEvent.__table__).where(BotEvent.bot_id == bot_id), BotEvent.id))

    def open_orders(self, bot_id: int) -> list[Any]:
        """Return a bot's orders that rest at the venue, as our books say."""
        return [order for order in self.orders(bot_id) if order.status in {"OPEN", "PARTIAL"}]

    def count(self, table: Any) -> int:
        """Count rows."""
        with transaction():
            return db.session.scalar(select(func.count()).select_from(table)) or 0

    def assert_books_agree(self) -> None:
        """Compare our books with the venue's: orders, fills and money, to the last unit."""
        ours = {(o.account_id, o.client_id): o for o in _all(select(OrderRow.__table__))}
        theirs = {(o.account_id, o.client_id): o for o in _all(select(PaperOrder.__table__))}
        sent = {key for key, order in ours.items() if order.status in SENT}
        assert set(theirs) == sent
        names = {"OPEN": "open", "FILLED": "filled", "CANCELLED": "cancelled"}
        for key, order in theirs.items():
            own = ours[key]
            assert (names[own.status], own.quantity, own.filled, own.price, own.side) == (
                order.status,
                order.quantity,
                order.filled,
                order.price,
                order.side,
            ), key
        assert _fills(FillRow) == _fills(PaperFill)
        self._assert_money_agrees()

    def _assert_money_agrees(self) -> None:
        balances: dict[tuple[int, str], Decimal] = {}
        for row in _all(select(PaperBalance.__table__)):
            balances[row.account_id, row.currency] = row.free + row.locked
        for account_id in {number for number, _ in balances}:
            query = select(Bot.capital, BotMetrics.quote, BotMetrics.base).join(
                BotMetrics, BotMetrics.bot_id == Bot.id
            )
            bots = _all(query.where(Bot.account_id == account_id))
            base = sum((bot.base for bot in bots), Decimal(0))
            spent = sum((bot.capital - bot.quote for bot in bots), Decimal(0))
            assert balances.get((account_id, "AAA"), Decimal(0)) == base
            assert balances[account_id, "USDT"] == self.deposit - spent


# What the venue has or had; the others were never sent, or refused.
SENT = {"OPEN", "PARTIAL", "FILLED", "CANCELLED"}


def _fills(table: Any) -> list[tuple[Any, ...]]:
    columns = ("account_id", "trade_id", "side", "price", "quantity", "fee", "fee_currency", "at")
    rows = _all(select(table.__table__))
    return sorted(tuple(getattr(row, name) for name in columns) for row in rows)


def _one(query: Any) -> Any:
    with transaction():
        return db.session.execute(query).one()


def _all(query: Any, order: Any = None) -> list[Any]:
    with transaction():
        return list(db.session.execute(query if order is None else query.order_by(order)))


def wander(seed: int, count: int, start: str = "100", step: str = "1.8") -> list[Decimal]:
    """Make prices that wander around and cross many levels."""
    random = Random(seed)
    price, widest = Decimal(start), Decimal(step)
    prices = []
    for _ in range(count):
        move = Decimal(random.randint(-100, 100)) / 100 * widest + (Decimal(100) - price) / 40
        price = (price + move).quantize(Decimal("0.01"))
        prices.append(price)
    return prices


def candles_of(prices: Sequence[Decimal]) -> list[Candle]:
    """Pack prices into candles of five: open, two extremes, close."""
    candles = []
    for number in range(0, len(prices) - 4, 5):
        group = prices[number : number + 5]
        at = int((START + timedelta(minutes=number)).timestamp() * 1000)
        candles.append(Candle(at, group[0], max(group), min(group), group[-1], Decimal(1)))
    return candles


def path_of(candles: Iterable[Candle]) -> list[Decimal]:
    """Return the prices as a back-test walks them."""
    return [price for candle in candles for price in candle_path(candle)]
