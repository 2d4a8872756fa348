"""Round trips as rows of trades: opened by a buy, closed by the sell that answers it."""

from collections.abc import Iterable, Mapping
from typing import Any

from app.bots.live.rows import LiveBot
from app.trades.service import NewFill, OwnOrder, RoundTrip
from app.trading.market import ZERO, MarketKind, booked, exact
from app.trading.orders import Purpose, Side, Status
from app.trading.risk import CLOSING
from app.trading.strategy import Match

ENDING = CLOSING | {Purpose.PROTECT}
OPEN, CLOSED = "open", "closed"


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
        trip = self._open.get((sale.epoch, match.level, match.cycle))
        if trip is None or match.entry_client_id is None:
            trip = self._from_first_purchase(match, sale)
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

    @exact
    def add_closing_sale(self, new: NewFill) -> None:
        """Close what is open when the last sale of a bot is done, each at its average price."""
        own = new.owner
        order = own.order
        if order.key.purpose not in ENDING or order.status is not Status.FILLED:
            return
        price = booked(order.value / order.filled)
        share = order.fee_quote / order.filled
        for trip in self._open.values():
            if trip.status != OPEN:
                continue
            fee = booked(share * trip.quantity)
            bought = booked(trip.entry_price * trip.quantity)
            trip.status, trip.exit_price, trip.exit_at = CLOSED, price, new.fill.time
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


def _inputs(own: OwnOrder) -> dict[str, Any]:
    key, price = own.order.key, own.order.price
    return {
        "epoch": own.epoch,
        "level": key.level,
        "cycle": key.cycle,
        "price": None if price is None else str(price),
    }


def _place_of(row: RoundTrip) -> tuple[int, int | None, int]:
    inputs = row.logic["inputs"]
    return inputs["epoch"], inputs["level"], inputs["cycle"]
