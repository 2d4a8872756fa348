"""The books of the stand-in: takes orders, moves prices, makes fills, and writes it all down.

A resting order fills at its own price, as maker, once the price has traded through it by one tick;
what could trade at once fills at the last price, as taker. Fees on spot are taken from what is
received; contracts settle in their quote.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from functools import wraps
from hashlib import blake2b
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from tests.doubles.bybit import contracts
from tests.doubles.bybit.account import Customer, Key
from tests.doubles.bybit.instruments import Instrument, usual_instruments
from tests.doubles.bybit.journal import Journal, read_journal
from tests.doubles.bybit.rows import Execution, Position, VenueOrder, from_json, to_json

P = ParamSpec("P")
R = TypeVar("R")

EXACT = Context(prec=90)
LONGEST_LINK_ID = 36
BUY, SELL = "Buy", "Sell"
# By what names the habits are counted.
PARTIAL, LATE, UNORDERED, FORGETTING = (
    "partial fills", "late fills", "fills out of order", "forgetting",
)  # fmt: skip


class Refusal(Exception):
    """The exchange does not do it; `code` says why."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code, self.message = code, message


@dataclass
class Habits:
    """How the exchange spoils what it does by itself; chances are from 0 to 1."""

    partial: float = 0
    late_fills: float = 0
    late_ms: int = 500
    forget: float = 0
    forget_ms: int = 500
    unordered: bool = False
    clock_ms: int = 0
    duplicate_code: int = 110072


def _alone(function: Callable[P, R]) -> Callable[P, R]:
    """Run a method alone, with enough digits."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        venue: Any = args[0]
        with venue.lock, localcontext(EXACT), venue.journal.together():
            return function(*args, **kwargs)

    return run


class Venue:
    """All customers, pairs and prices; safe to use from several threads."""

    def __init__(
        self,
        instruments: tuple[Instrument, ...] | None = None,
        journal: Path | None = None,
        seed: int = 0,
    ) -> None:
        self.lock = threading.RLock()
        self.habits = Habits()
        self.customers: dict[str, Customer] = {}
        self.instruments: dict[Key, Instrument] = {}
        self.prices: dict[Key, Decimal] = {}
        self.counts: dict[str, int] = {}
        self._hidden_ms = 0
        self._number = 0
        self._seed = seed
        found = list(read_journal(journal)) if journal else []
        # A process that goes on with old books is not to repeat the chances of the one before.
        self.random = random.Random(seed + len(found))
        self.journal = Journal(journal)
        if found:
            self._read_back(found)
        else:
            for pair in usual_instruments() if instruments is None else instruments:
                self.list_pair(pair)

    # --- the world ----------------------------------------------------------------------------

    def now(self) -> int:
        """Return the exchange's own time, in milliseconds."""
        return time.time_ns() // 1_000_000 + self.habits.clock_ms

    @_alone
    def list_pair(self, pair: Instrument) -> None:
        """Open a pair for trade."""
        self.instruments[pair.key] = pair
        self.journal.write("pair", **pair.to_json())

    @_alone
    def add_customer(self, key: str, secret: str, **rights: Any) -> Customer:
        """Open an account."""
        customer = self.customers[key] = Customer(key, secret, **rights)
        self.journal.write("customer", **customer.to_json())
        return customer

    @_alone
    def deposit(self, key: str, coin: str, amount: Decimal) -> None:
        """Put money into an account."""
        self._move(self.customers[key], coin, amount, "deposit")

    @_alone
    def push(self, category: str, symbol: str, price: Decimal) -> int:
        """Let a price happen; return how many fills it made."""
        self.prices[category, symbol] = price
        self.journal.write("price", category=category, symbol=symbol, price=format(price, "f"))
        made = 0
        for customer in self.customers.values():
            made += self._trigger(customer, (category, symbol), price)
            made += self._match(customer, (category, symbol), price)
        return made

    @_alone
    def fund(self, symbol: str, rate: Decimal) -> None:
        """Let every position of a contract pay (or receive) the funding rate at the last price."""
        price = self.prices["linear", symbol]
        pair = self.instruments["linear", symbol]
        for customer in self.customers.values():
            position = customer.positions.get(symbol)
            if position is None or position.size == 0:
                continue
            paid = position.size * price * rate
            number = self._next()
            row = Execution(
                self._name("exec", number), customer.key, "linear", symbol, "", "",
                BUY if position.size > 0 else SELL, price, abs(position.size), paid, pair.quote,
                False, self.now(), number, kind="Funding",
            )  # fmt: skip
            self._note_execution(customer, row)
            self._move(customer, pair.quote, -paid, "funding")

    @_alone
    def take_over(self, key: str, symbol: str, kind: str, share: Decimal) -> None:
        """Close a part of a position by force at the last price: `BustTrade` or `AdlTrade`."""
        customer, pair = self.customers[key], self.instruments["linear", symbol]
        position, price = self.position(customer, symbol), self.prices["linear", symbol]
        quantity = (abs(position.size) * share / pair.lot).to_integral_value() * pair.lot
        side = SELL if position.size > 0 else BUY
        asked = {
            "category": "linear", "symbol": symbol, "side": side, "orderType": "Market",
            "qty": quantity, "reduceOnly": True,
        }  # fmt: skip
        order = _read_order(asked, key, "", self._name("order", self._next()), self._number)
        gained = contracts.move(position, order, price, quantity)
        self._note_position(customer, symbol)
        fee, number = quantity * price * pair.taker_fee, self._next()
        row = Execution(
            self._name("exec", number), key, "linear", symbol, order.order_id, "", side, price,
            quantity, fee, pair.quote, False, self.now(), number, "Market", kind,
        )  # fmt: skip
        self._note_execution(customer, row)
        self._move(customer, pair.quote, gained - fee, "forced")

    # --- orders -------------------------------------------------------------------------------

    @_alone
    def create(self, customer: Customer, asked: dict[str, Any]) -> VenueOrder:
        """Take an order in, or raise Refusal."""
        try:
            order = self._checked(customer, asked)
        except Refusal as refusal:
            self._note_request(customer, asked, refusal.code)
            raise
        self._note_request(customer, asked, 0)
        if order.trigger_price:
            order.status = "Untriggered"
            self._keep(customer, order)
            return order
        if self._is_marketable(order):
            self._take_now(customer, order)
        else:
            self._keep(customer, order)
        return order

    @contextmanager
    def hiding_orders(self, ms: int) -> Iterator[None]:
        """Have look-ups not show for a while what is ordered meanwhile."""
        with self.lock:
            self._hidden_ms = ms
            try:
                yield
            finally:
                self._hidden_ms = 0

    @_alone
    def cancel(self, customer: Customer, order: VenueOrder | None) -> VenueOrder:
        """Take an order back, or raise Refusal if it does not stand."""
        if order is None:
            raise Refusal(170213, "Order does not exist.")
        if not order.is_open:
            code = 170139 if order.status == "Filled" else 170142
            if order.category != "spot":
                code = 110001
            raise Refusal(code, "order is final already")
        order.status = "PartiallyFilledCanceled" if order.filled else "Cancelled"
        if order.filled and order.category != "spot":
            order.status = "Cancelled"
        order.updated = self.now()
        self._keep(customer, order)
        return order

    def _checked(self, customer: Customer, asked: dict[str, Any]) -> VenueOrder:
        pair = self.instruments.get((asked.get("category", ""), asked.get("symbol", "")))
        if pair is None or not pair.listed:
            raise Refusal(170121, "Invalid symbol.")
        link_id = str(asked.get("orderLinkId") or "")
        if len(link_id) > LONGEST_LINK_ID:
            raise Refusal(10001, "order link id is longer than 36")
        if not pair.is_spot and pair.symbol in customer.hedged and not asked.get("positionIdx"):
            raise Refusal(10001, "position idx not match position mode")
        if customer.standing(link_id) is not None:
            raise Refusal(self.habits.duplicate_code, "OrderLinkedID is duplicate")
        if not customer.can_trade:
            raise Refusal(10005, "Permission denied, please check your API key permissions.")
        number = self._next()
        order = _read_order(asked, customer.key, link_id, self._name("order", number), number)
        order.created = order.updated = self.now()
        self._check_rules(pair, order)
        if self._hidden_ms:
            order.shown_from = order.created + self._hidden_ms
        elif self.random.random() < self.habits.forget:
            self.count(FORGETTING)
            order.shown_from = order.created + self.habits.forget_ms
        if len(customer.open_orders(pair.key)) >= pair.max_open:
            raise Refusal(170810 if pair.is_spot else 110020, "too many active orders")
        if not order.trigger_price:
            self._check_taking(pair, order)
            self._check_money(customer, pair, order)
        return order

    def _check_rules(self, pair: Instrument, order: VenueOrder) -> None:
        spot = pair.is_spot
        if order.side not in {BUY, SELL} or order.kind not in {"Limit", "Market"}:
            raise Refusal(10001, "params error")
        if order.quantity <= 0 or order.quantity % pair.lot:
            raise Refusal(170137 if spot else 10001, "Order volume decimal too long.")
        if order.quantity < pair.min_quantity:
            raise Refusal(170136 if spot else 10001, "Order quantity exceeded lower limit.")
        price = order.price
        if order.kind == "Limit":
            if price <= 0 or price % pair.tick:
                raise Refusal(170134 if spot else 10001, "Order price decimal too long.")
        elif pair.key not in self.prices:
            raise Refusal(170159, "market orders are not open yet")
        else:
            price = self.prices[pair.key]
        if order.quantity * price < pair.min_amount and not order.reduce_only:
            raise Refusal(170140 if spot else 110094, "Order value exceeded lower limit.")

    def _check_taking(self, pair: Instrument, order: VenueOrder) -> None:
        if order.time_in_force == "PostOnly" and self._is_marketable(order):
            raise Refusal(170218, "The LIMIT-MAKER order is rejected due to invalid price.")

    def _check_money(self, customer: Customer, pair: Instrument, order: VenueOrder) -> None:
        price = self._price_of(order)
        if not pair.is_spot:
            contracts.check_order(self, customer, pair, order, price)
            return
        coin = pair.quote if order.side == BUY else pair.base
        needed = order.quantity * price if order.side == BUY else order.quantity
        if customer.free(coin, self.instruments) < needed:
            raise Refusal(170131, "Insufficient balance.")

    def _price_of(self, order: VenueOrder) -> Decimal:
        key = order.category, order.symbol
        return self.prices[key] if self._is_marketable(order) else order.price

    def _is_marketable(self, order: VenueOrder) -> bool:
        last = self.prices.get((order.category, order.symbol))
        if order.kind == "Market":
            return True
        if last is None:
            return False
        return order.price >= last if order.side == BUY else order.price <= last

    # --- fills --------------------------------------------------------------------------------

    def _trigger(self, customer: Customer, key: Key, price: Decimal) -> int:
        made = 0
        for order in customer.open_orders(key):
            if order.status != "Untriggered":
                continue
            rises = order.trigger_direction == 1
            if price < order.trigger_price if rises else price > order.trigger_price:
                continue
            order.updated = self.now()
            try:
                self._check_money(customer, self.instruments[key], order)
            except Refusal:
                order.status, order.reject_reason = "Rejected", "EC_InsufficientBalance"
                self._keep(customer, order)
                continue
            order.status = "New"
            if self._is_marketable(order):
                self._take_now(customer, order)
                made += 1
            else:
                self._keep(customer, order)
        return made

    def _match(self, customer: Customer, key: Key, price: Decimal) -> int:
        step = self.instruments[key].tick
        reached = [
            order
            for order in customer.open_orders(key)
            if order.is_resting
            and (price <= order.price - step if order.side == BUY else price >= order.price + step)
        ]
        # The best price first, of one price the older first.
        reached.sort(
            key=lambda o: (o.side, -o.price if o.side == BUY else o.price, o.number)
        )  # fmt: skip
        for order in reached:
            self._fill(customer, order, order.price, self._portion(order), maker=True)
        return len(reached)

    def _portion(self, order: VenueOrder) -> Decimal:
        lot = self.instruments[order.category, order.symbol].lot
        lots = int(order.left / lot)
        if lots > 1 and self.random.random() < self.habits.partial:
            self.count(PARTIAL)
            return lot * self.random.randint(1, lots - 1)
        return order.left

    def _take_now(self, customer: Customer, order: VenueOrder) -> None:
        price = self.prices[order.category, order.symbol]
        self._fill(customer, order, price, order.quantity, maker=False)

    def _fill(
        self, customer: Customer, order: VenueOrder, price: Decimal, quantity: Decimal, maker: bool
    ) -> None:
        pair = self.instruments[order.category, order.symbol]
        if not pair.is_spot and order.reduce_only:
            quantity = min(quantity, contracts.closable(customer, order))
            if quantity <= 0:
                order.status, order.updated = "Cancelled", self.now()
                self._keep(customer, order)
                return
        rate = pair.maker_fee if maker else pair.taker_fee
        value = price * quantity
        order.filled += quantity
        order.value += value
        order.status = "Filled" if order.left == 0 else "PartiallyFilled"
        order.updated = self.now()
        fee, coin = value * rate, pair.quote
        if pair.is_spot:
            if order.side == BUY:
                fee, coin = quantity * rate, pair.base
            self._settle_spot(customer, pair, order.side, quantity, value, fee)
        else:
            gained = contracts.move(self.position(customer, order.symbol), order, price, quantity)
            self._note_position(customer, order.symbol)
            self._move(customer, pair.quote, gained - fee, "trade")
        order.fee += fee
        number = self._next()
        row = Execution(
            self._name("exec", number), customer.key, order.category, order.symbol,
            order.order_id, order.link_id, order.side, price, quantity, fee, coin, maker,
            order.updated, number, order.kind,
        )  # fmt: skip
        if self.random.random() < self.habits.late_fills:
            self.count(LATE)
            row.shown_from = row.time + self.random.randint(1, max(1, self.habits.late_ms))
        self._note_execution(customer, row)
        self._keep(customer, order)

    def _settle_spot(
        self,
        customer: Customer,
        pair: Instrument,
        side: str,
        quantity: Decimal,
        value: Decimal,
        fee: Decimal,
    ) -> None:
        if side == BUY:
            self._move(customer, pair.quote, -value, "trade")
            self._move(customer, pair.base, quantity - fee, "trade")
        else:
            self._move(customer, pair.base, -quantity, "trade")
            self._move(customer, pair.quote, value - fee, "trade")

    # --- writing down -------------------------------------------------------------------------

    def position(self, customer: Customer, symbol: str) -> Position:
        """Return a customer's position in a contract, opening an empty one."""
        return customer.positions.setdefault(symbol, Position(customer.key, symbol))

    @_alone
    def set_leverage(self, customer: Customer, symbol: str, leverage: Decimal) -> None:
        """Change how much margin a contract asks of a customer."""
        position = self.position(customer, symbol)
        if position.leverage == leverage:
            raise Refusal(110043, "leverage not modified")
        position.leverage = leverage
        self._note_position(customer, symbol)

    @_alone
    def set_margin_mode(self, customer: Customer, mode: str) -> None:
        """Change how margin is kept apart in a whole account; not while there are positions."""
        if mode != customer.margin_mode and any(p.size for p in customer.positions.values()):
            raise Refusal(3400045, "Set margin mode failed")
        customer.margin_mode = mode
        self._note_modes(customer)

    @_alone
    def switch_mode(self, customer: Customer, symbol: str, hedged: bool) -> None:
        """Let long and short stand side by side in a contract, or not."""
        if hedged is (symbol in customer.hedged):
            raise Refusal(110025, "Position mode is not modified")
        if self.position(customer, symbol).size:
            raise Refusal(110024, "You have an existing position, so the mode can't be switched")
        if customer.open_orders(("linear", symbol)):
            raise Refusal(110028, "You have existing orders, so the mode can't be switched")
        others = tuple(name for name in customer.hedged if name != symbol)
        customer.hedged = (*others, symbol) if hedged else others
        self._note_modes(customer)

    def _note_modes(self, customer: Customer) -> None:
        self.journal.write(
            "modes",
            account=customer.key,
            margin_mode=customer.margin_mode,
            hedged=list(customer.hedged),
        )

    @_alone
    def count(self, what: str) -> None:
        """Count something that went wrong on purpose."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def _keep(self, customer: Customer, order: VenueOrder) -> None:
        customer.keep(order)
        self.journal.write("order", **to_json(order))

    def _note_execution(self, customer: Customer, row: Execution) -> None:
        customer.executions.append(row)
        self.journal.write("execution", **to_json(row))

    def _note_position(self, customer: Customer, symbol: str) -> None:
        self.journal.write("position", **to_json(customer.positions[symbol]))

    def _note_request(self, customer: Customer, asked: dict[str, Any], code: int) -> None:
        self.journal.write(
            "create", account=customer.key, link_id=asked.get("orderLinkId"), code=code
        )

    def _move(self, customer: Customer, coin: str, amount: Decimal, why: str) -> None:
        customer.add(coin, amount)
        whole = format(customer.wallet[coin], "f")
        self.journal.write(
            "money", account=customer.key, coin=coin, amount=format(amount, "f"), whole=whole,
            why=why,
        )  # fmt: skip

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _name(self, kind: str, number: int) -> str:
        # Names do not tell their order, as at the real exchange.
        digest = blake2b(f"{kind}|{self._seed}|{number}".encode(), digest_size=16).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"

    def _read_back(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            event = line.pop("event")
            if event == "pair":
                pair = Instrument.from_json(line)
                self.instruments[pair.key] = pair
            elif event == "customer":
                line["addresses"], line["hedged"] = tuple(line["addresses"]), tuple(line["hedged"])
                self.customers[line["key"]] = Customer(**line)
            elif event == "modes":
                customer = self.customers[line["account"]]
                customer.margin_mode, customer.hedged = line["margin_mode"], tuple(line["hedged"])
            elif event == "price":
                self.prices[line["category"], line["symbol"]] = Decimal(line["price"])
            elif event == "money":
                self.customers[line["account"]].wallet[line["coin"]] = Decimal(line["whole"])
            elif event == "order":
                self._read_order_back(from_json(VenueOrder, line))
            elif event == "execution":
                row: Execution = from_json(Execution, line)
                self.customers[row.account].executions.append(row)
                self._number = max(self._number, row.number)
            elif event == "position":
                position: Position = from_json(Position, line)
                self.customers[position.account].positions[position.symbol] = position

    def _read_order_back(self, order: VenueOrder) -> None:
        customer = self.customers[order.account]
        known = customer.orders.get(order.order_id)
        if known is not None:
            for name in order.__slots__:
                setattr(known, name, getattr(order, name))
        customer.keep(known or order)
        self._number = max(self._number, order.number)


def _read_order(
    asked: dict[str, Any], key: str, link_id: str, order_id: str, number: int
) -> VenueOrder:
    try:
        return VenueOrder(
            order_id=order_id,
            link_id=link_id,
            account=key,
            category=asked["category"],
            symbol=asked["symbol"],
            side=asked["side"],
            kind=asked["orderType"],
            price=Decimal(asked.get("price") or 0),
            quantity=Decimal(asked["qty"]),
            time_in_force=asked.get("timeInForce") or "GTC",
            created=0,
            updated=0,
            number=number,
            reduce_only=bool(asked.get("reduceOnly")),
            trigger_price=Decimal(asked.get("triggerPrice") or 0),
            trigger_direction=int(asked.get("triggerDirection") or 0) or _direction(asked),
            order_filter=asked.get("orderFilter") or "Order",
        )
    except (KeyError, ArithmeticError, ValueError, TypeError) as error:
        raise Refusal(10001, f"params error: {error}") from error


def _direction(asked: dict[str, Any]) -> int:
    # On spot the direction is not told: a buy waits for a rise, a sell for a fall.
    if not asked.get("triggerPrice"):
        return 0
    return 1 if asked["side"] == BUY else 2
