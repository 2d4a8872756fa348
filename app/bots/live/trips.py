"""Round trips as rows of trades: opened by a buy, closed by the sell that answers it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.bots.live.rows import LiveBot
from app.trades.round_trips import RoundTrip
from app.trades.service import NewFill, OwnOrder
from app.trading.intents import Reason, reason
from app.trading.market import ZERO, MarketKind, booked, exact
from app.trading.orders import Purpose, Side
from app.trading.risk import CLOSING
from app.trading.strategy import Match, UnderWay

ENDING = CLOSING | {Purpose.PROTECT}
OPEN, CLOSED = "open", "closed"
# Its coins went over to other orders (a new start, other settings): those sell them once.
CARRIED = "carried"
# A start, its level and the round of that level.
_Place = tuple[int, int | None, int]


class RoundTrips:
    """The round trips of one bot that a tick touches."""

    def __init__(self, bot: LiveBot, rows: Iterable[RoundTrip], tick_id: str) -> None:
        self._bot = bot
        self._tick_id = tick_id
        self._open = {_place_of(row): row for row in rows}
        self._changed: dict[int, RoundTrip] = {}

    @property
    def changed(self) -> list[RoundTrip]:
        """Return the round trips to be written."""
        return list(self._changed.values())

    @exact
    def add_fill(self, new: NewFill) -> None:
        """Open a round trip with the first fill of a level's buy, or let it grow with the next."""
        own, fill = new.owner, new.fill
        key = own.order.key
        if key.purpose is not Purpose.GRID or key.side is not Side.BUY:
            return
        # On a contract a buy may close: such trips get their row when they are closed.
        if self._bot.market.kind is not MarketKind.SPOT:
            return
        place = (own.epoch, key.level, key.cycle)
        trip = self._open.get(place)
        if trip is None:
            trip = self._open[place] = self._opened(own, new)
        in_base = fill.fee_currency == self._bot.market.base
        value = trip.entry_price * trip.quantity + fill.price * fill.quantity
        trip.entry_price = booked(value / (trip.quantity + fill.quantity))
        trip.quantity += fill.quantity - (fill.fee if in_base else ZERO)
        trip.fees += new.fee_quote
        if own.order.client_id not in trip.logic["orders"]:
            orders = [*trip.logic["orders"], own.order.client_id]
            trip.logic = {**trip.logic, "orders": orders}
        self._touch(trip)

    @exact
    def add_match(self, match: Match, orders: Mapping[str, OwnOrder]) -> None:
        """Close what a sell answers; coins of the first purchase get a row of their own."""
        sale = orders[match.exit_client_id]
        trip = self._opened_for(match, sale.epoch)
        if trip is None:
            trip = self._from_first_purchase(match, sale)
        elif match.is_part and match.quantity < trip.quantity:
            self._leave_open(trip, match.quantity, match.fees - match.sell_fee)
        trip.status = CLOSED
        is_long = match.opened_by is Side.BUY
        trip.side = "long" if is_long else "short"
        trip.quantity = match.quantity
        trip.entry_price = booked(match.buy_price if is_long else match.sell_price)
        trip.exit_price = booked(match.sell_price if is_long else match.buy_price)
        trip.exit_at = match.time
        trip.profit = match.profit
        trip.fees = match.buy_fee + match.sell_fee + booked(match.coin_fee * match.buy_price)
        trip.exit_order_id = sale.id
        self._explain_exit(trip, sale)
        self._touch(trip)

    def _leave_open(self, trip: RoundTrip, closing: Decimal, fees: Decimal) -> None:
        """Let what is not closed of a round trip be one of its own."""
        rest = replace(
            trip, id=None, quantity=trip.quantity - closing, fees=max(ZERO, trip.fees - fees)
        )
        trip.quantity, trip.fees = closing, trip.fees - rest.fees
        self._open[_place_of(rest)] = rest
        self._touch(rest)

    def _opened_for(self, match: Match, epoch: int) -> RoundTrip | None:
        if match.entry_client_id is None:
            return None
        trip = self._open.get((epoch, match.level, match.cycle))
        return trip or self._opened_by(match.entry_client_id)

    def _opened_by(self, client_id: str) -> RoundTrip | None:
        # A grid that follows the price takes what a purchase has opened to another level.
        for trip in self._open.values():
            if trip.status == OPEN and client_id in trip.logic["orders"]:
                return trip
        return None

    def carry_over(self, going_on: UnderWay, now: datetime) -> None:
        """End the round trips that do not go on: other orders have got their coins."""
        for (epoch, level, cycle), trip in self._open.items():
            goes_on = epoch == self._bot.epoch and (level, cycle) in going_on.places
            goes_on |= not going_on.openings.isdisjoint(trip.logic["orders"])
            if not goes_on:
                self._end_without_sale(trip, reason("coins_carried_over"), now)

    def take_out(self, why: Reason, now: datetime) -> None:
        """End what is open without a result: its coins were not there any more."""
        for trip in self._open.values():
            self._end_without_sale(trip, why, now)

    def _end_without_sale(self, trip: RoundTrip, why: Reason, now: datetime) -> None:
        if trip.status != OPEN:
            return
        trip.status, trip.exit_at = CARRIED, now
        trip.logic = {**trip.logic, "exit": {"code": why.code, "values": dict(why.values)}}
        self._touch(trip)

    @exact
    def add_closing_sales(
        self, fills: Iterable[NewFill], orders: Iterable[OwnOrder], held: Decimal
    ) -> None:
        """Close what a try of the last sale or a stop has sold, each at its average price.

        A bot that holds nothing sellable any more has nothing open; of others the oldest close
        first, so much as was sold. What rests as a sell, a stop has not sold.
        """
        tries: dict[int, list[NewFill]] = defaultdict(list)
        for new in fills:
            key = new.owner.order.key
            if key.purpose in ENDING and key.side is Side.SELL:
                tries[new.owner.id].append(new)
        for number, parts in enumerate(tries.values(), 1):
            is_last = number == len(tries) and self._bot.market.quantity_down(held) <= ZERO
            is_stop = parts[0].owner.order.key.purpose is Purpose.PROTECT
            locked = _answered_by_sells(orders) if is_stop and not is_last else frozenset[str]()
            self._close_part(parts, locked, is_last)

    def _close_part(self, parts: list[NewFill], locked: Set[str], is_last: bool) -> None:
        own, last = parts[0].owner, parts[-1].fill
        sold = left = sum((new.fill.quantity for new in parts), ZERO)
        price = booked(sum((new.fill.price * new.fill.quantity for new in parts), ZERO) / sold)
        share = sum((new.fee_quote for new in parts), ZERO) / sold
        for trip in list(self._open.values()):
            if trip.status != OPEN or not locked.isdisjoint(trip.logic["orders"]):
                continue
            if trip.quantity > left and not is_last:
                if left == ZERO:
                    return
                self._leave_open(trip, left, booked(trip.fees * left / trip.quantity))
            left = max(ZERO, left - trip.quantity)
            fee = booked(share * trip.quantity)
            bought = booked(trip.entry_price * trip.quantity)
            trip.status, trip.exit_price, trip.exit_at = CLOSED, price, last.time
            trip.profit = booked(price * trip.quantity) - fee - bought - trip.fees
            trip.fees += fee
            trip.exit_order_id = own.id
            self._explain_exit(trip, own)
            self._touch(trip)

    def _touch(self, trip: RoundTrip) -> None:
        self._changed[id(trip)] = trip

    def _opened(self, own: OwnOrder, new: NewFill) -> RoundTrip:
        bot = self._bot
        return RoundTrip(
            user_id=bot.user_id,
            bot_id=bot.id,
            symbol=bot.market.symbol,
            currency=bot.market.quote,
            status=OPEN,
            quantity=ZERO,
            entry_price=new.fill.price,
            entry_at=new.fill.time,
            fees=ZERO,
            entry_order_id=own.id,
            logic=self._logic(own.reason, own, [own.order.client_id]),
        )

    def _from_first_purchase(self, match: Match, sale: OwnOrder) -> RoundTrip:
        bot = self._bot
        return RoundTrip(
            user_id=bot.user_id,
            bot_id=bot.id,
            symbol=bot.market.symbol,
            currency=bot.market.quote,
            status=CLOSED,
            quantity=match.quantity,
            entry_price=booked(match.buy_price),
            entry_at=sale.created_at,
            fees=ZERO,
            entry_order_id=None,
            logic=self._logic({"code": "first_purchase", "values": {}}, sale, []),
        )

    def _logic(self, why: Mapping[str, Any], own: OwnOrder, orders: list[str]) -> dict[str, Any]:
        return {
            "code": why["code"],
            "values": dict(why["values"]),
            "inputs": _inputs(own),
            "config_version": own.config_version,
            "tick_id": own.tick_id,
            "orders": orders,
        }

    def _explain_exit(self, trip: RoundTrip, sale: OwnOrder) -> None:
        trip.logic = {
            **trip.logic,
            "orders": [*trip.logic["orders"], sale.order.client_id],
            "exit": {
                **sale.reason,
                "inputs": _inputs(sale),
                "config_version": sale.config_version,
                "tick_id": sale.tick_id,
                "closed_in_tick": self._tick_id,
            },
        }


def _answered_by_sells(orders: Iterable[OwnOrder]) -> frozenset[str]:
    """Return the purchases whose coins a sell of the grid locks, by client id.

    The sell names the order that it answers, wherever its level has gone to meanwhile.
    """
    sells = (
        own
        for own in orders
        if own.order.key.purpose is Purpose.GRID and own.order.key.side is Side.SELL
        if not own.settled
    )
    return frozenset(own.reason["values"].get("order") for own in sells) - {None}


def _inputs(own: OwnOrder) -> dict[str, Any]:
    key, price = own.order.key, own.order.price
    return {
        "epoch": own.epoch,
        "level": key.level,
        "cycle": key.cycle,
        "price": None if price is None else str(price),
    }


def _place_of(row: RoundTrip) -> _Place:
    inputs = row.logic["inputs"]
    return inputs["epoch"], inputs["level"], inputs["cycle"]
