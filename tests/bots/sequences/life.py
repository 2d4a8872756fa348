"""One bot as a test sees it: what its rows say now, and what may be done with it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import select

from app.bots.live import answers
from app.bots.models import Bot, BotConfig, BotEvent, BotMetrics
from app.db import db, utc_now
from app.errors import DomainError
from app.exchanges.audits import ask_for_audit
from app.exchanges.models import PaperBalance, PaperOrder, PaperStake
from app.exchanges.paper import PaperVenue
from app.markets.models import MarketRow, PricePointRow
from app.markets.points import forget_points
from app.markets.queries import to_market
from app.trades.models import OrderRow, TradeRow
from app.trading.market import Market, MarketKind
from app.trading.strategies import STRATEGIES
from app.trading.strategies.grid_params import GridParams
from app.trading.strategies.grid_state import GridState
from app.trading.strategy import InvalidParams
from app.transactions import transaction
from tests.bots.shop import Shop

GRID = STRATEGIES["grid"]
STANDING = ("OPEN", "PARTIAL")
# What a bot wanted and did not get.
IN_VAIN = ("DENIED", "REJECTED", "UNRESOLVED", "INTENDED")
T = TypeVar("T")


class Killed(BaseException):
    """The process is gone: nothing of it runs any more, not even its clean-up."""


@dataclass
class Refusal:
    """Why a request was refused."""

    codes: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """All rows of a bot at one moment, its account at the venue among them."""

    bot: Bot
    params: GridParams
    grid: GridState | None
    sums: BotMetrics
    every_order: Sequence[OrderRow]
    trades: Sequence[TradeRow]
    balances: Mapping[str, tuple[Decimal, Decimal]]
    position: Decimal
    at_venue: frozenset[str]

    @property
    def orders(self) -> list[OrderRow]:
        """Return the orders that stand, as our books say."""
        return [order for order in self.every_order if order.status in STANDING]

    @property
    def why(self) -> str | None:
        """Return the code of the bot's state."""
        return self.bot.state_reason.get("code")


@dataclass
class Life:
    """A bot with its shop; `said` is what happened so far, for whoever reads a failure."""

    shop: Shop
    bot_id: int
    market: Market
    deposit: Decimal = Decimal(10_000)
    price: Decimal = Decimal(100)
    said: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, shop: Shop, bot_id: int) -> "Life":
        """Return the life of a bot that was made just now."""
        with transaction():
            row = db.session.get_one(MarketRow, shop.market_id)
            return cls(shop, bot_id, to_market(row, shop.account()))

    # --- what is ---------------------------------------------------------------------------------

    @property
    def is_contract(self) -> bool:
        """Tell whether the pair is a contract."""
        return self.market.kind is MarketKind.LINEAR

    @property
    def state(self) -> str:
        """Return the state of the bot."""
        return _alone(Bot, self.bot_id).state

    def capital(self) -> Decimal:
        """Return the money that the bot is given."""
        return _alone(Bot, self.bot_id).capital

    def params(self) -> GridParams:
        """Return the settings of now."""
        with transaction():
            return _params_of(db.session.get_one(Bot, self.bot_id, populate_existing=True))

    def sums(self) -> BotMetrics:
        """Return the running sums."""
        return _alone(BotMetrics, self.bot_id)

    def orders(self) -> Sequence[OrderRow]:
        """Return the orders that stand, oldest first."""
        with transaction():
            query = select(OrderRow).where(OrderRow.bot_id == self.bot_id)
            return _rows(query.where(OrderRow.status.in_(STANDING)).order_by(OrderRow.id))

    def look(self) -> Scene:
        """Return everything as it is now."""
        account, bot_id = self.shop.account_id, self.bot_id
        with transaction():
            bot = _row(Bot, bot_id)
            venue = select(PaperOrder.client_id).where(
                PaperOrder.account_id == account, PaperOrder.status == "open"
            )
            money = _rows(select(PaperBalance).where(PaperBalance.account_id == account))
            stake = db.session.get(
                PaperStake, (account, self.shop.market_id), populate_existing=True
            )
            orders = select(OrderRow).where(OrderRow.bot_id == bot_id).order_by(OrderRow.id)
            trades = select(TradeRow).where(TradeRow.bot_id == bot_id).order_by(TradeRow.id)
            stored = bot.strategy_state
            return Scene(
                bot=bot,
                params=_params_of(bot),
                grid=None if stored is None else GRID.decode_state(stored),
                sums=_row(BotMetrics, bot_id),
                every_order=_rows(orders),
                trades=_rows(trades),
                balances={row.currency: (row.free, row.locked) for row in money},
                position=Decimal(0) if stake is None else stake.base,
                at_venue=frozenset(db.session.scalars(venue)),
            )

    def picture(self) -> tuple[object, ...]:
        """Return all that a refused request must leave as it was."""
        with transaction():
            bot, sums = _row(Bot, self.bot_id), _row(BotMetrics, self.bot_id)
        return (
            bot.state, bot.config_version, bot.capital, bot.strategy_state, bot.stop_request,
            bot.plan, bot.guard, sums.quote, sums.base, sums.deposited, sums.withdrawn,
        )  # fmt: skip

    def last_words(self) -> str:
        """Return the end of the bot's log and its orders that stand or were in vain."""
        scene = self.look()
        query = select(BotEvent).where(BotEvent.bot_id == self.bot_id).order_by(BotEvent.id)
        with transaction():
            log = [f"{each.code} {each.values}" for each in _rows(query)[-12:]]
        orders = [
            f"{o.status} {o.purpose} {o.side} {o.level} {o.price} {o.quantity} {o.error or ''}"
            for o in scene.every_order
            if o.status in (*STANDING, *IN_VAIN)
        ]
        return "\n".join(["log:", *log, "orders:", *orders[-40:]])

    # --- what happens ----------------------------------------------------------------------------

    def say(self, what: str) -> None:
        """Note what happens, for whoever reads a failure."""
        self.said.append(what)

    def ask(self, request: Callable[[], T]) -> T | Refusal:
        """Make a request as a page does; what is refused changes nothing."""
        before = self.picture()
        try:
            with transaction():
                return request()
        except DomainError as error:
            found = error.problems if isinstance(error, InvalidParams) else (error,)
            codes = tuple(each.code for each in found)
            self.say(f"  refused: {', '.join(codes)}")
            assert self.picture() == before, "a refused request has changed something"
            return Refusal(codes)

    def play(self, *prices: Decimal, funding: Decimal | None = None) -> None:
        """Let prices happen a moment apart; a rate of funding falls due at the last."""
        with transaction():
            market = db.session.get_one(MarketRow, self.shop.market_id, populate_existing=True)
            at = utc_now() - timedelta(milliseconds=len(prices))
            for price in prices:
                at += timedelta(milliseconds=1)
                market.last_seq += 1
                market.last_price, market.last_price_at = price, at
                rate = funding if price is prices[-1] else None
                row = PricePointRow(
                    market_id=market.id, seq=market.last_seq, at=at, price=price, funding=rate
                )
                db.session.add(row)
        self.price = prices[-1]

    def tick(self, times: int = 1) -> None:
        """Tick the account as a worker does."""
        for _ in range(times):
            self.shop.tick()

    def tick_and_die(self, commit: int, *, after: bool) -> None:
        """Tick, be killed at a commit, and go on in a process that remembers nothing."""
        try:
            with _killed_at(commit, after=after):
                self.tick()
        except Killed:
            pass
        finally:
            # A killed process leaves no open transaction.
            db.session.rollback()
        self.new_process()

    def new_process(self) -> None:
        """Forget all that a process remembers."""
        forget_points()
        answers._params_read.clear()
        db.session.remove()

    def compare(self) -> None:
        """Compare everything with the venue at the next tick, and tick."""
        with transaction():
            ask_for_audit([self.shop.account_id])
        self.tick()

    def change_rules(self, lot: Decimal, min_notional: Decimal) -> None:
        """Let the venue take other sizes from now on."""
        with transaction():
            row = db.session.get_one(MarketRow, self.shop.market_id, populate_existing=True)
            row.lot, row.min_notional = lot, min_notional
            self.market = to_market(row, self.shop.account())

    def take_back_by_hand(self, client_ids: Sequence[str]) -> None:
        """Cancel orders at the venue as their owner does on its own pages."""
        number, market = self.shop.account_id, self.market
        with transaction():
            venue = PaperVenue.load({number: {self.shop.market_id: market}})
            venue.look_up({(number, client_id) for client_id in client_ids})
            for client_id in client_ids:
                venue.account(number).cancel(market.symbol, client_id)
            venue.save()


def _params_of(bot: Bot) -> GridParams:
    version = db.session.get_one(BotConfig, (bot.id, bot.config_version))
    read: GridParams = GRID.parse(version.params)
    return read


def _rows(query: Any) -> Sequence[Any]:
    rows = db.session.scalars(query.execution_options(populate_existing=True)).all()
    for row in rows:
        db.session.expunge(row)
    return rows


def _row(table: type[T], key: object) -> T:
    """Return a row as it is now; what happens later does not change it."""
    row = db.session.get_one(table, key, populate_existing=True)
    db.session.expunge(row)
    return row


def _alone(table: type[T], key: object) -> T:
    with transaction():
        return _row(table, key)


@contextmanager
def _killed_at(number: int, *, after: bool) -> Iterator[None]:
    """Die at the commit with this number, before or after it; all later commits fail as well."""
    session = db.session()
    real: Callable[[], None] = session.commit
    count = 0

    def commit() -> None:
        nonlocal count
        count += 1
        if count == number and after:
            real()
        if count >= number:
            raise Killed
        real()

    session.commit = commit  # type: ignore[method-assign]
    try:
        yield
    finally:
        session.commit = real  # type: ignore[method-assign]
