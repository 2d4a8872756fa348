"""One account at a real exchange, through the library ccxt, as the core's `Exchange`."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

from app.adapters.exchanges.errors import (
    AccountUnfitError,
    ExchangeError,
    RateLimitedError,
    action_of,
    cancel_outcome_of,
    is_absent,
    outcome_of,
    read_error,
)
from app.adapters.exchanges.looking import Reader, stands_as
from app.adapters.exchanges.quirks import Quirks
from app.adapters.exchanges.quirks.kinds import Action, Lane
from app.adapters.exchanges.reading import (
    Held,
    at,
    to_balances,
    to_fee,
    to_market,
    turn_of,
)
from app.errors import DomainError
from app.money import exact_text
from app.trading.market import ZERO, Market
from app.trading.orders import Fill, Order, OrderKind
from app.trading.ports import (
    Accepted,
    AccountLook,
    Balance,
    FillPage,
    Funding,
    FundingPage,
    Outcome,
    Refused,
    Unresolved,
    VenueOrder,
)
from app.trading.risk import CLOSING

log = logging.getLogger(__name__)

T = TypeVar("T")

# All client ids of ours begin so; whatever begins otherwise was not placed by us.
OWN_PREFIX = "by"
# Fills may be reported late: each look reaches back so far behind the last one.
OVERLAP_MS = 5 * 60 * 1000
# So long one look reads fills, well within a lease; what is left waits for the next.
LOOK_S = 5
PARTIAL = "partial="
# A new account's first look; our orders can't be older than the account.
FIRST_LOOK_MS = 24 * 3600 * 1000


class CcxtExchange:
    """An account at an exchange; `client` has its markets. One object belongs to one thread."""

    def __init__(
        self,
        client: Any,
        quirks: Quirks,
        *,
        maker_fee: Decimal | None = None,
        taker_fee: Decimal | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._client = client
        self._quirks = quirks
        self._maker_fee = maker_fee
        self._taker_fee = taker_fee
        self._our_ms = now_ms
        # Set once for an account, so that no order is ever looked for under another id.
        self._partner_id: str = client.partner_id
        prefix = quirks.partner_prefix
        self._reader = Reader(
            client, quirks, f"{prefix}{self._partner_id}" if prefix and self._partner_id else ""
        )

    def place(self, symbol: str, order: Order) -> Outcome:
        """Send an order once; raise RateLimitedError if it certainly is not there and may go later.

        That is so when no turn came, and when the exchange has refused it for our clock's sake: the
        clock is measured anew, but a request may also be late because this process stood still, so
        whoever sends again has to ask first whether the account is still its own.
        """
        return self._unless_late(self._place(symbol, order))

    def cancel(self, symbol: str, client_id: str) -> Outcome:
        """Take an order back; Accepted also if it was already gone; raises as `place` does."""
        if not self._reader.lists(symbol):
            return Accepted()

        def send() -> Outcome:
            params = {self._quirks.cancel_id_param: self._reader.sent_id(client_id)}
            if self._reader.is_stop(client_id):
                params |= self._quirks.stop_cancel_params
            answer = self._client.cancel_order(None, symbol, params)
            if not (answer.get("id") or answer.get("clientOrderId")):
                return Unresolved("the answer names no order")
            return Accepted()

        return self._unless_late(self._sent(send, cancel_outcome_of, Lane.CANCEL))

    def find(self, symbol: str, client_id: str) -> VenueOrder | None:
        """Look an order up, open or closed; None only when the venue says that it lacks it.

        Orders end with their pair, so one of a pair that the venue has dropped is lacking too.
        """
        if not self._reader.lists(symbol):
            return None
        try:
            raw = self._find_raw(symbol, self._reader.sent_id(client_id))
            return None if raw is None else self._reader.order(raw)
        except DomainError:
            raise
        except Exception as error:
            if is_absent(error, self._quirks, self._client.answer):
                return None
            raise self._read_error(error) from error

    def look(
        self, expected: Mapping[str, Mapping[str, Decimal]], cursor: str, *, whole: bool = False
    ) -> AccountLook:
        """Look at the whole account, with one call where the exchange allows it.

        What stands is read first; if it is just as expected nothing can have been filled. More
        orders than fit on a page cost more calls than the fills do, so then only fills are read,
        unless a `whole` look is wanted.
        """
        now = self._venue_ms()
        standing = sum(len(orders) for orders in expected.values())
        page = self._quirks.open_orders_page
        orders = None
        if whole or page is None or standing < page:
            orders = self._read(lambda: self._reader.all_open_orders(expected))
            if not whole and stands_as(orders, expected, OWN_PREFIX):
                return AccountLook(orders, (), str(now))
        start = self._start(cursor, now)
        fills, until = self._read(lambda: self._reader.fills(expected, start, now, LOOK_S))
        if until < now:
            return AccountLook(orders, tuple(fills), f"{PARTIAL}{until}", is_partial=True)
        return AccountLook(orders, tuple(fills), str(now))

    def order_fills(self, symbol: str, client_id: str) -> tuple[Fill, ...]:
        """List all fills of one order, however long ago; empty if the venue lacks the order."""
        order = self.find(symbol, client_id)
        if order is None or order.time is None:
            return ()
        start = int(order.time.timestamp() * 1000) - OVERLAP_MS
        return self._read(lambda: self._fills_of(symbol, order, start))

    def funding_since(self, symbol: str, cursor: str) -> FundingPage:
        """List what was paid (negative) or received for holding a contract since a cursor."""
        now = self._venue_ms()
        if not self._quirks.funding_params or not self._reader.lists(symbol):
            return FundingPage((), str(now))
        start = self._start(cursor, now)
        params = self._quirks.funding_params
        rows = self._read(lambda: list(self._reader.rows_of(symbol, start, now, params)))
        found = {str(raw["id"]): self._funding(symbol, raw) for raw in rows}
        return FundingPage(tuple(sorted(found.values(), key=lambda one: one.time)), str(now))

    def open_orders(self, symbol: str) -> list[VenueOrder]:
        """List what stands at the venue."""
        return self._read(lambda: self._reader.open_orders(symbol))

    def standing(self, symbols: Iterable[str]) -> tuple[VenueOrder, ...]:
        """List what stands in these pairs, and in others where the same calls tell it."""
        found = self._read(lambda: self._reader.all_open_orders(symbols))
        return tuple(order for orders in found.values() for order in orders)

    def fills_since(self, symbol: str, cursor: str) -> FillPage:
        """List fills after a cursor and some before it; an empty cursor reaches back a day."""
        now = self._venue_ms()
        start = self._start(cursor, now)
        fills, _ = self._read(lambda: self._reader.fills([symbol], start, now))
        return FillPage(tuple(fill for _, fill in fills), str(now))

    def balances(self) -> Mapping[str, Balance]:
        """Return free and locked money by currency, without currencies of which there is none."""
        return to_balances(self._read(self._client.fetch_balance))

    def positions(self) -> tuple[Held, ...]:
        """List the contracts that the account holds; none where only coins are traded."""
        if not self._quirks.positions_params:
            return ()
        rows = self._read(self._reader.positions)
        return tuple(one for one in rows if one.quantity)

    def position(self, symbol: str) -> Decimal | None:
        """Return how many coins of a contract are held, negative when owed; None if nobody knows.

        Asked for by name, an empty position has a row too, or one for each side: what is not told
        is no zero.
        """
        held = self._held(symbol)
        if len(held) != (2 if any(one.hedged for one in held) else 1):
            log.warning("position_unknown exchange=%s rows=%s", self._quirks.code, len(held))
            return None
        return sum((one.base for one in held), ZERO)

    def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Let a contract be traded with isolated margin, one position, and this leverage.

        Coins have none of that. Setting twice is harmless, and what is right already is left alone.
        Raise AccountUnfitError where a change would reach positions that are there: of margin for
        the whole account, of the position mode in this contract. Its owner has to decide that.
        """
        if not self._reader.lists(symbol) or self._client.market(symbol)["spot"]:
            return
        if not self.is_isolated():
            self._isolate()
        held = self._held(symbol)
        if any(one.hedged for one in held):
            self._set_one_way(symbol, held)
        elif all(one.leverage == leverage for one in held) and held:
            return
        self._change(lambda: self._client.set_leverage(exact_text(leverage), symbol))

    def is_isolated(self) -> bool:
        """Say whether a loss in a contract stays with the margin of its position."""
        if self._quirks.margin_mode is None:
            return True
        method, field, wanted = self._quirks.margin_mode
        told = self._read(getattr(self._client, method)).get("result") or {}
        return bool(told.get(field) == wanted)

    def _isolate(self) -> None:
        unfit = AccountUnfitError("margin_not_isolated", exchange=self._quirks.code)
        if self.positions():
            raise unfit
        self._change(lambda: self._client.set_margin_mode("isolated"), unfit)

    def _set_one_way(self, symbol: str, held: tuple[Held, ...]) -> None:
        unfit = AccountUnfitError("position_mode_hedged", exchange=self._quirks.code)
        if any(one.quantity for one in held):
            raise unfit
        # Refused too while orders of the owner stand there.
        self._change(lambda: self._client.set_position_mode(False, symbol), unfit)

    def _held(self, symbol: str) -> tuple[Held, ...]:
        """Return the rows of one contract: one, or one for each side; empty ones too."""
        if not self._quirks.positions_params or not self._reader.lists(symbol):
            return ()
        return self._read(lambda: self._reader.positions_in(symbol))

    def _change(self, change: Callable[[], Any], refused: DomainError | None = None) -> None:
        """Change a setting; one that is as wanted already is fine, a refusal raises `refused`."""
        self._client.answer = None
        try:
            change()
        except DomainError:
            raise
        except Exception as error:
            if action_of(error, self._quirks, self._client.answer) is Action.NOOP:
                return
            found = self._read_error(error)
            raise refused if refused and type(found) is ExchangeError else found from error

    def market(self, symbol: str) -> Market:
        """Return a pair's rules and the account's fees on it."""
        raw = self._read(lambda: self._client.market(symbol))
        market = to_market(raw, self._quirks)
        return replace(
            market,
            maker_fee=market.maker_fee if self._maker_fee is None else self._maker_fee,
            taker_fee=market.taker_fee if self._taker_fee is None else self._taker_fee,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._client.session.close()

    # --- calls --------------------------------------------------------------------------------

    def _place(self, symbol: str, order: Order) -> Outcome:
        if order.kind is OrderKind.STOP and not self._quirks.has_stops:
            return Refused("stop_not_supported")
        params = self._params(symbol, order)
        is_limit = order.kind is OrderKind.LIMIT
        price = exact_text(order.price) if is_limit and order.price is not None else None

        def send() -> Outcome:
            answer = self._client.create_order(
                symbol,
                "limit" if is_limit else "market",
                order.key.side.value,
                exact_text(order.quantity),
                price,
                params,
            )
            venue_id = answer.get("id")
            if not venue_id:
                return Unresolved("the answer names no order")
            self._reader.remember(symbol, str(venue_id), order.client_id)
            return Accepted(str(venue_id))

        return self._sent(send, outcome_of, Lane.PLACE)

    def _params(self, symbol: str, order: Order) -> dict[str, Any]:
        quirks = self._quirks
        params = {"clientOrderId": self._reader.sent_id(order.client_id), **quirks.order_params}
        if quirks.partner_param and self._partner_id:
            params[quirks.partner_param] = self._partner_id
        if order.kind is not OrderKind.LIMIT:
            params |= quirks.market_order_params
        if order.kind is OrderKind.STOP and order.price is not None:
            self._reader.remember_stop(order.client_id)
            params["triggerPrice"] = exact_text(order.price)
            market = (self._client.markets or {}).get(symbol) or {}
            if not market.get("spot", True):
                params |= quirks.contract_stop_params.get(order.key.side.value, {})
        elif order.key.purpose in CLOSING:
            market = (self._client.markets or {}).get(symbol) or {}
            if not market.get("spot", True):
                params |= quirks.closing_params
        return params

    def _sent(
        self, send: Callable[[], Outcome], judge: Callable[..., Outcome], lane: Lane
    ) -> Outcome:
        """Run a sending; whatever goes wrong is judged by whether anything may have left us."""
        client = self._client
        before = client.writes_sent
        client.answer = None
        client.sending_since = time.monotonic()
        try:
            with client.traffic.lane(lane):
                return send()
        except RateLimitedError:
            raise
        except Exception as error:  # noqa: BLE001 - the library raises all kinds
            sent = client.writes_sent != before
            return judge(error, self._quirks, sent=sent, answer=client.answer)
        finally:
            client.sending_since = None

    def _read(self, read: Callable[[], T]) -> T:
        self._client.answer = None
        try:
            return read()
        except DomainError:
            raise
        except Exception as error:
            raise self._read_error(error) from error

    def _read_error(self, error: Exception) -> DomainError:
        return read_error(error, self._quirks, self._client.answer)

    def _unless_late(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Refused) and outcome.code == "clock_differs" and self._set_clock():
            raise RateLimitedError("exchange_rate_limited", exchange=self._quirks.code)
        return outcome

    def _set_clock(self) -> bool:
        """Measure the exchange's clock anew; say whether that worked."""
        try:
            self._client.traffic.set_clock(self._client.fetch_time)
        except Exception:  # noqa: BLE001 - the library raises all kinds
            return False
        return True

    def _find_raw(self, symbol: str, sent_id: str) -> Any:
        parameter = self._quirks.find_in_lists_by
        if parameter is None:
            return self._client.fetch_order(None, symbol, {"clientOrderId": sent_id})
        for look in (self._client.fetch_open_orders, self._client.fetch_canceled_and_closed_orders):
            for raw in look(symbol, None, None, {parameter: sent_id}):
                if raw.get("clientOrderId") == sent_id:
                    return raw
        return None

    def _fills_of(self, symbol: str, order: VenueOrder, start: int) -> tuple[Fill, ...]:
        quirks = self._quirks
        params: dict[str, Any] = {}
        if quirks.fills_by_client_id is not None:
            params[quirks.fills_by_client_id] = self._reader.sent_id(order.client_id)
        elif quirks.fills_by_order_id is not None:
            params[quirks.fills_by_order_id] = order.venue_id
        rows: Iterable[Any] = self._reader.rows_of(symbol, start, self._venue_ms(), params)
        fills = {str(raw["id"]): self._reader.fill(symbol, raw) for raw in rows}
        own = [fill for fill in fills.values() if fill.client_id == order.client_id]
        return tuple(sorted(own, key=turn_of))

    def _funding(self, symbol: str, raw: Mapping[str, Any]) -> Funding:
        # It is told as the fee of an execution that is none.
        fee, currency = to_fee(raw)
        currency = currency or self._client.market(symbol)["settle"]
        return Funding(str(raw["id"]), symbol, -fee, currency, at(raw["timestamp"]))

    def _venue_ms(self) -> int:
        # By the exchange's clock, or fills that it dates later than ours would be left for later.
        return self._our_ms() + int(self._client.traffic.clock_offset_ms())

    def _start(self, cursor: str, now: int) -> int:
        """Read where the last look ended; an empty or unreadable cursor reaches back a day.

        One that did not come to its end goes on behind its last fill.
        """
        if cursor.startswith(PARTIAL) and cursor.removeprefix(PARTIAL).isdecimal():
            return int(cursor.removeprefix(PARTIAL)) + 1
        times = [line.rpartition("=")[2] for line in cursor.splitlines()]
        known = [int(one) for one in times if one.isdecimal()]
        return min(known) - OVERLAP_MS if known else now - FIRST_LOOK_MS
