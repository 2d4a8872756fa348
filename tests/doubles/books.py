"""Our books beside those of a stand-in: every order, every fill, every unit of money."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from app.bots.models import Bot, BotMetrics
from app.db import db
from app.markets.models import MarketRow
from app.trades.models import FillRow, FundingRow, OrderRow
from app.transactions import transaction

ZERO = Decimal(0)
PREFIX = "by"
# How the exchange's words read in our books.
STATES = {
    "New": {"OPEN"},
    "PartiallyFilled": {"PARTIAL"},
    "Filled": {"FILLED"},
    "Cancelled": {"CANCELLED"},
    "PartiallyFilledCanceled": {"CANCELLED"},
    "Rejected": {"REJECTED", "CANCELLED"},
}
NEVER_THERE = {"DENIED", "REJECTED", "CANCELLED"}
# What only closes a contract's position must be told so.
REDUCING = {"close", "stop", "protect"}


@dataclass(frozen=True)
class Theirs:
    """An account at the exchange."""

    wallet: dict[str, Decimal]
    orders: list[dict[str, Any]]
    executions: list[dict[str, Any]]
    # By symbol: how much of a contract is held (negative: owed), and its signed value at entry.
    positions: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)

    @classmethod
    def read(cls, books: dict[str, Any]) -> "Theirs":
        """Read what the stand-in tells."""
        wallet = {coin: Decimal(amount) for coin, amount in books["wallet"].items()}
        positions = {}
        for row in books["positions"]:
            size, cost = Decimal(row["size"]), Decimal(row["cost"])
            positions[row["symbol"]] = size, cost if size >= 0 else -cost
        return cls(wallet, books["orders"], books["executions"], positions)

    def ours(self) -> list[dict[str, Any]]:
        """Return the orders that carry our prefix."""
        return [order for order in self.orders if order["link_id"].startswith(PREFIX)]


@dataclass(frozen=True)
class Ours:
    """The same account in our own tables."""

    account: int
    orders: list[Any]
    fills: list[Any]
    coins: dict[str, Decimal]
    spent: Decimal
    contracts: dict[str, Decimal] = field(default_factory=dict)
    funding: Counter[tuple[str, Decimal]] = field(default_factory=Counter)

    @classmethod
    def read(cls, account: int) -> "Ours":
        """Read what stands in the database."""
        with transaction():
            orders = db.session.execute(
                select(OrderRow.__table__).where(OrderRow.account_id == account)
            ).all()
            fills = db.session.execute(
                select(FillRow.__table__).where(FillRow.account_id == account)
            ).all()
            funding = db.session.execute(
                select(FundingRow.funding_id, FundingRow.amount).where(
                    FundingRow.account_id == account
                )
            ).all()
            bots = db.session.execute(
                select(
                    BotMetrics.deposited,
                    BotMetrics.quote,
                    BotMetrics.base.label("held"),
                    MarketRow.base.label("coin"),
                    MarketRow.quote.label("money"),
                    MarketRow.kind,
                )
                .join(Bot, Bot.id == BotMetrics.bot_id)
                .join(MarketRow, MarketRow.id == Bot.market_id)
                .where(Bot.account_id == account)
            ).all()
        coins: dict[str, Decimal] = defaultdict(Decimal)
        contracts: dict[str, Decimal] = defaultdict(Decimal)
        for bot in bots:
            if bot.kind == "spot":
                coins[bot.coin] += bot.held
            else:
                contracts[bot.coin + bot.money] += bot.held
        spent = sum((bot.deposited - bot.quote for bot in bots), ZERO)
        paid = Counter((row.funding_id, row.amount) for row in funding)
        return cls(account, list(orders), list(fills), dict(coins), spent, dict(contracts), paid)


def differences(ours: Ours, theirs: Theirs, quote: str, deposit: Decimal) -> list[str]:
    """Say where the two books differ."""
    return [
        f"account {ours.account}: {line}"
        for part in (
            twins(ours, theirs),
            _orders(ours, theirs),
            _fills(ours, theirs),
            _money(ours, theirs, quote, deposit),
            _contracts(ours, theirs),
        )
        for line in part
    ]


def twins(ours: Ours, theirs: Theirs) -> Iterable[str]:
    """Find logical orders that stood, or were filled, more than once."""
    keys = {
        row.client_id: (row.bot_id, row.epoch, row.purpose, row.level, row.side, row.cycle)
        for row in ours.orders
    }
    for link_id, count in Counter(order["link_id"] for order in theirs.ours()).items():
        if count > 1:
            yield f"the exchange took {link_id} {count} times"
    lives: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for order in theirs.ours():
        key = keys.get(order["link_id"])
        if key is not None and order["status"] != "Rejected":
            lives[key].append(order)
    for key, orders in lives.items():
        orders.sort(key=lambda order: order["number"])
        for first, second in zip(orders, orders[1:], strict=False):
            stood = first["status"] in {"New", "PartiallyFilled"}
            if stood or second["created"] < first["updated"]:
                yield f"{key} stood twice: {first['link_id']} and {second['link_id']}"
        filled = sum((Decimal(order["filled"]) for order in orders), ZERO)
        most = max(Decimal(order["quantity"]) for order in orders)
        if filled > most:
            yield f"{key} was filled with {filled} of {most}"


def _orders(ours: Ours, theirs: Theirs) -> Iterable[str]:
    mine = {row.client_id: row for row in ours.orders}
    there = {order["link_id"]: order for order in theirs.ours()}
    for link_id, order in there.items():
        row = mine.get(link_id)
        if row is None:
            yield f"orphan {link_id} ({order['status']}): unknown to us"
        elif row.status not in STATES[order["status"]]:
            yield f"{link_id} is {row.status} with us and {order['status']} there"
        elif row.filled != Decimal(order["filled"]):
            yield f"{link_id} is filled with {row.filled} with us, {order['filled']} there"
        elif row.quantity != Decimal(order["quantity"]):
            yield f"{link_id} is of {row.quantity} with us, {order['quantity']} there"
        elif (mine_asked := _asked(row)) != (theirs_asked := _taken(order)):
            yield f"{link_id} asks for {mine_asked} with us, {theirs_asked} there"
    for client_id, row in mine.items():
        if client_id not in there and row.status not in NEVER_THERE:
            yield f"{client_id} is {row.status} with us and was never there"


def _asked(row: Any) -> tuple[Any, ...]:
    """Return what an order of ours asks for: side, kind, its price, and whether it only closes."""
    only_closes = ":" in row.symbol and row.purpose in REDUCING
    return row.side, row.kind, None if row.kind == "market" else row.price, only_closes


def _taken(order: dict[str, Any]) -> tuple[Any, ...]:
    kind, trigger = order["kind"].lower(), Decimal(order["trigger_price"])
    price = Decimal(order["price"]) if kind == "limit" else trigger or None
    # A stop is a market order that waits for its price.
    told = "stop" if kind == "market" and trigger else kind
    return order["side"].lower(), told, price, order["reduce_only"]


def _fills(ours: Ours, theirs: Theirs) -> Iterable[str]:
    mine = Counter(
        (row.trade_id, row.side, row.price, row.quantity, row.fee, row.fee_currency)
        for row in ours.fills
    )
    there = Counter(
        (
            row["exec_id"], row["side"].lower(), Decimal(row["price"]), Decimal(row["quantity"]),
            Decimal(row["fee"]), row["fee_currency"],
        )
        for row in theirs.executions
        if row["link_id"].startswith(PREFIX) and row["kind"] == "Trade"
    )  # fmt: skip
    for fill in (there - mine).elements():
        yield f"lost fill {fill}"
    for fill in (mine - there).elements():
        yield f"fill that never was {fill}"


def _money(ours: Ours, theirs: Theirs, quote: str, deposit: Decimal) -> Iterable[str]:
    for coin, amount in ours.coins.items():
        if theirs.wallet.get(coin, ZERO) != amount:
            yield f"{amount} {coin} with us, {theirs.wallet.get(coin, ZERO)} there"
    # What a position was opened for has not left the wallet, but our cash.
    money = theirs.wallet.get(quote, ZERO) - sum(
        (cost for _, cost in theirs.positions.values()), ZERO
    )
    if money != deposit - ours.spent:
        yield f"{deposit - ours.spent} {quote} with us, {money} there"


def _contracts(ours: Ours, theirs: Theirs) -> Iterable[str]:
    held = {symbol: size for symbol, (size, _) in theirs.positions.items()}
    for symbol in {*held, *ours.contracts}:
        mine, there = ours.contracts.get(symbol, ZERO), held.get(symbol, ZERO)
        if mine != there:
            yield f"{mine} of {symbol} with us, {there} there"
    paid = Counter(
        (row["exec_id"], -Decimal(row["fee"]))
        for row in theirs.executions
        if row["kind"] == "Funding"
    )
    for name, amount in (paid - ours.funding).elements():
        yield f"lost funding of {amount} ({name})"
    for name, amount in (ours.funding - paid).elements():
        yield f"funding of {amount} that never was ({name})"
