"""Bots on real accounts, as the product opens them, at a stand-in for the exchange."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from sqlalchemy import select, text, update

from app.accounts.models import User
from app.adapters.exchanges.keys import ApiKeys
from app.bots.models import BotConfig
from app.db import db
from app.exchanges import service
from app.exchanges.models import ExchangeAccount
from app.markets.models import MarketRow
from app.trading.orders import Side
from app.trading.strategies.grid import GRID
from app.trading.strategies.grid_state import Phase
from app.transactions import transaction
from tests.bots.live_world import World
from tests.doubles.books import Ours, Theirs, differences, twins
from tests.factories import make_exchange, make_market, make_user

DEPOSIT = Decimal(10_000)
FIRST, SECOND = "AAA/USDT", "BBB/USDT"
CONTRACT = "AAA/USDT:USDT"
# How a bot may end before its ladder stands.
ENDS = {"range_excludes_price", "first_purchase_failed"}
MOST_ROUNDS = 5
SECRET = "the-secret-of-a-customer-of-the-stand-in"


class Hand(Protocol):
    """What opens accounts at the stand-in, moves its prices and shows its books."""

    def do(self, name: str, **values: Any) -> Any:
        """Do one thing by its name."""


@dataclass(frozen=True, slots=True)
class Seat:
    """An account, its key at the exchange, and the bots on it."""

    account: int
    key: str
    bots: tuple[int, ...]


class LiveWorld:
    """A pair whose prices happen at the exchange and in our own feed, in lock-step."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.world = World.make()
        self.symbol = FIRST
        self.seats: list[Seat] = []
        self._worlds = {FIRST: self.world}

    def world_of(self, symbol: str) -> World:
        """Return the world of one more pair with the rules of the first, listing it at need."""
        if symbol not in self._worlds:
            with transaction():
                first = db.session.get_one(MarketRow, self.world.market_id)
                pair, _, settled_in = symbol.partition(":")
                market = make_market(f"{pair}{settled_in}")
                if settled_in:
                    market.symbol, market.kind, market.fee_side = symbol, "linear", "quote"
                    market.quote, market.max_leverage = settled_in, Decimal(100)
                for name in ("tick", "lot", "min_quantity", "min_notional"):
                    setattr(market, name, getattr(first, name))
                market.last_price = market.last_price_at = None
                market.stale_after_s = first.stale_after_s
                self._worlds[symbol] = World(market.id)
        return self._worlds[symbol]

    def add_account(self, key: str, money: Decimal = DEPOSIT) -> int:
        """Open an account at the exchange and connect it, its key checked there."""
        self.hand.do("customer", key=key, secret=SECRET, money={"USDT": format(money, "f")})
        with transaction():
            make_exchange("bybit")
            user = make_user().id
        wanted = service.NewKeys("bybit", key, ApiKeys(key, SECRET))
        checked = service.check_new_keys(user, wanted)
        assert checked.check.passed, checked.check.failure
        with transaction():
            db.session.get_one(User, user)
            return service.connect_keys(user, checked).id

    def add_seat(self, key: str, bots: int = 1, symbols: Sequence[str] = (), **params: Any) -> Seat:
        """Connect an account and let bots start on it, on these pairs (else on all) in turn."""
        account = self.add_account(key)
        worlds = [self.world_of(symbol) for symbol in symbols or self._worlds]
        numbers = tuple(worlds[n % len(worlds)].add_bot(account, **params) for n in range(bots))
        for number in numbers:
            self.world.change_bot(number, mode="live")
        seat = Seat(account, key, numbers)
        self.seats.append(seat)
        return seat

    def add_fake_seat(self, key: str, symbol: str = FIRST, **params: Any) -> Seat:
        """Add a bot on an account whose exchange needs no keys and no check."""
        self.hand.do("customer", key=key, secret=SECRET, money={"USDT": format(DEPOSIT, "f")})
        with transaction():
            make_exchange("bybit")
            account = ExchangeAccount(
                id=77_000 + len(self.seats),
                user_id=make_user().id,
                exchange="bybit",
                venue="bybit",
                label=key,
                mode="live",
                maker_fee=Decimal("0.001"),
                taker_fee=Decimal("0.001"),
            )
            db.session.add(account)
            number = account.id
        bot = self.world_of(symbol).add_bot(number, **params)
        self.world.change_bot(bot, mode="live")
        seat = Seat(number, key, (bot,))
        self.seats.append(seat)
        return seat

    def play(self, *prices: Decimal | str | int, symbol: str = FIRST) -> int:
        """Let prices happen at the exchange first, then with us; return the fills they made."""
        told = [format(Decimal(price), "f") for price in prices]
        pair, _, contract = symbol.partition(":")
        category = "linear" if contract else "spot"
        name = pair.replace("/", "")
        fills = self.hand.do("push", symbol=name, prices=told, category=category)["fills"]
        self.world_of(symbol).play(*prices)
        return int(fills)

    def tick(self) -> Any:
        """Tick every account."""
        return self.world.tick()

    def audit(self) -> Any:
        """Tick every account as if the time had come to compare it as a whole."""
        with transaction():
            db.session.execute(update(ExchangeAccount).values(audited_at=None))
        report = self.tick()
        for _ in range(MOST_ROUNDS):
            # Whoever has more to do is called again at once, as by the product's own job.
            if not report.unfinished:
                break
            report = self.tick()
        return report

    def accounts(self) -> list[int]:
        """Return the numbers of the accounts."""
        return [seat.account for seat in self.seats]

    def differences(self) -> list[str]:
        """Say where our books and the exchange's differ; nothing when they agree."""
        found = []
        for seat in self.seats:
            theirs = Theirs.read(self.hand.do("books", key=seat.key))
            found += differences(Ours.read(seat.account), theirs, "USDT", DEPOSIT)
        return found

    def twins(self) -> list[str]:
        """Name logical orders that stood, or were filled, more than once."""
        return [
            line
            for seat in self.seats
            for line in twins(
                Ours.read(seat.account), Theirs.read(self.hand.do("books", key=seat.key))
            )
        ]

    def age_doubts(self) -> None:
        """Let the product's patience with orders in doubt be over."""
        with transaction():
            db.session.execute(
                text(
                    "update orders set doubtful_since = doubtful_since - interval '1 hour',"
                    " created_at = created_at - interval '1 hour'"
                    " where status in ('INTENDED', 'UNRESOLVED')"
                )
            )

    def missing_levels(self) -> list[str]:
        """Name the orders that ladders of running grids want and that do not stand.

        There is no excuse but the bot's own limit for orders that rest at once: then all that it
        allows must stand, whichever they are.
        """
        return [
            line
            for seat in self.seats
            for bot in seat.bots
            for line in _missing(
                bot, self.world.bot(bot), self.world.open_orders(bot), _most_resting(bot)
            )
        ]


def _most_resting(bot: int) -> int | None:
    newest = select(BotConfig.params).where(BotConfig.bot_id == bot)
    with transaction():
        params = db.session.scalars(newest.order_by(BotConfig.version.desc())).first()
    most = (params or {}).get("max_resting")
    return None if most is None else int(most)


def _missing(bot: int, row: Any, standing: list[Any], most: int | None) -> list[str]:
    if row.state != "active":
        ended = row.state_reason.get("code") in ENDS and not standing
        return [] if ended else [f"bot {bot} is {row.state}: {row.state_reason}"]
    state = GRID.decode_state(row.strategy_state)
    if state.phase is not Phase.RUNNING:
        return [f"bot {bot} is still {state.phase}"]
    wanted = {(gap, slot.side) for gap, slot in enumerate(state.slots)}
    wanted |= {(gap, slot.twin.side) for gap, slot in enumerate(state.slots) if slot.twin}
    stands = Counter(
        # A gap holds a buy at its lower level or a sell at its upper one.
        (order.level - state.first - (order.side == "sell"), Side(order.side))
        for order in standing
        if order.purpose == "grid"
    )
    twice = [place for place, count in stands.items() if count > 1 or place not in wanted]
    found = [f"bot {bot}: gap {gap} has a {side} too many" for gap, side in twice]
    virtual = 0 if most is None else max(0, len(wanted) - most)
    missing = sorted(wanted - set(stands))
    if len(missing) > virtual:
        found += [f"bot {bot}: no {side} in gap {gap}: {state.slots[gap]}" for gap, side in missing]
    return found
