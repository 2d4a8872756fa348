"""What an exchange says through the library, turned into our own kinds of things."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from app.adapters.exchanges.errors import ExchangeError
from app.adapters.exchanges.quirks import Quirks
from app.trading.market import (
    ZERO,
    FeeSide,
    MarginRule,
    Market,
    MarketKind,
    Tier,
    booked,
    exact,
)
from app.trading.orders import Fill, OrderKind, Side, Status
from app.trading.ports import Balance, VenueOrder

log = logging.getLogger(__name__)

# A stop waits for its trigger; the price that it has beside it says nothing.
_PRICES: Mapping[OrderKind, Callable[[Mapping[str, Any]], Decimal | None]] = {
    OrderKind.LIMIT: lambda raw: decimal(raw.get("price")),
    OrderKind.MARKET: lambda raw: None,
    OrderKind.STOP: lambda raw: decimal(raw.get("triggerPrice")),
}
# Initial margin times leverage is 1, or 100 where the margin is told in percent.
PERCENT_FROM = 10
_STATUS = {
    "open": Status.OPEN,
    "closed": Status.FILLED,
    "canceled": Status.CANCELLED,
    "canceling": Status.OPEN,
    "expired": Status.CANCELLED,
    "rejected": Status.REJECTED,
}


def to_market(raw: Mapping[str, Any], quirks: Quirks) -> Market:
    """Turn the library's market into ours; a linear contract counts in its contract size."""
    spot = bool(raw.get("spot"))
    limits = raw.get("limits") or {}
    in_received = spot and quirks.fee_in_received_asset
    maker, taker = decimal(raw.get("maker")), decimal(raw.get("taker"))
    if not spot and quirks.contract_fees is not None:
        # The library's own table of them is old.
        maker, taker = quirks.contract_fees
    info = {} if spot else raw.get("info") or {}
    minutes = decimal(info.get("fundingInterval"))
    least = decimal((limits.get("cost") or {}).get("min"))
    if least is None:
        # The library leaves it out for contracts.
        least = decimal((info.get("lotSizeFilter") or {}).get("minNotionalValue"))
    return Market(
        symbol=raw["symbol"],
        base=raw["base"],
        quote=raw["quote"],
        kind=MarketKind.SPOT if spot else MarketKind.LINEAR,
        tick=decimal(raw["precision"].get("price")),
        lot=decimal(raw["precision"].get("amount")),
        min_quantity=decimal((limits.get("amount") or {}).get("min")),
        min_notional=least,
        maker_fee=maker or ZERO,
        taker_fee=taker or ZERO,
        fee_side=FeeSide.RECEIVED_ASSET if in_received else FeeSide.QUOTE,
        max_orders=quirks.max_open_orders,
        max_leverage=None if spot else decimal((limits.get("leverage") or {}).get("max")),
        funding_interval_s=None if minutes is None else int(minutes * 60),
        margin_rule=MarginRule.WALLET if spot else MarginRule.POSITION,
    )


def to_tiers(rows: Iterable[Mapping[str, Any]], quirks: Quirks) -> tuple[Tier, ...]:
    """Turn the library's leverage tiers into maintenance margins, lowest first.

    Rates are told as fractions or in percent: the first tier's initial margin says which, because
    it is one over the greatest leverage. What is taken off in a tier makes the sum continuous; it
    is computed where it is not told.
    """
    tiers: list[Tier] = []
    ordered = sorted(rows, key=lambda row: needed(row.get("minNotional"), quirks))
    for row in ordered:
        info = row["info"]
        floor = needed(row.get("minNotional"), quirks)
        rate = needed(row.get("maintenanceMarginRate"), quirks)
        initial, most = decimal(info.get("initialMargin")), decimal(row.get("maxLeverage"))
        if initial and most and initial * most > PERCENT_FROM:
            rate /= 100
        amount = decimal(info.get("mmDeduction"))
        if amount is None:
            amount = tiers[-1].amount + floor * (rate - tiers[-1].rate) if tiers else ZERO
        tiers.append(Tier(floor, rate, amount))
    return tuple(tiers)


def to_order(raw: Mapping[str, Any], client_id: str, quirks: Quirks) -> VenueOrder:
    """Turn the library's order into ours; raise ExchangeError if it lacks what an order has."""
    trigger = decimal(raw.get("triggerPrice"))
    kind = OrderKind.MARKET if raw.get("type") == "market" else OrderKind.LIMIT
    if trigger:
        kind = OrderKind.STOP
    quantity, filled = needed(raw.get("amount"), quirks), decimal(raw.get("filled")) or ZERO
    if not raw.get("id"):
        raise garbled(quirks)
    return VenueOrder(
        client_id=client_id,
        symbol=raw["symbol"],
        side=Side(raw["side"]),
        kind=kind,
        price=_PRICES[kind](raw),
        quantity=quantity,
        filled=filled,
        status=_status(raw.get("status"), quantity, filled),
        venue_id=str(raw["id"]),
        time=None if raw.get("timestamp") is None else at(raw["timestamp"]),
    )


def to_fill(raw: Mapping[str, Any], client_id: str, quote: str, quirks: Quirks) -> Fill:
    """Turn the library's trade into our fill."""
    fee, currency = to_fee(raw)
    if quirks.fill_fee_currency is not None:
        currency = str(raw["info"].get(quirks.fill_fee_currency) or currency)
    currency = currency or quote
    fee += _taxes(raw, currency, quote, quirks)
    return Fill(
        trade_id=str(raw["id"]),
        client_id=client_id,
        side=Side(raw["side"]),
        price=needed(raw.get("price"), quirks),
        quantity=needed(raw.get("amount"), quirks),
        fee=fee,
        fee_currency=currency,
        time=at(raw["timestamp"]),
        maker=raw.get("takerOrMaker") == "maker",
    )


@exact
def _taxes(raw: Mapping[str, Any], currency: str, quote: str, quirks: Quirks) -> Decimal:
    """Return what was taken of a fill beside its fee, in the fee's currency.

    As a rule it is taken in that currency too. Otherwise it is turned by the price of the fill, so
    that profit is right; the coins themselves are then told by the comparison of balances.
    """
    if quirks.fill_taxes is None:
        return ZERO
    field, coin_name, amount_name = quirks.fill_taxes
    rows = raw["info"].get(field) or []
    if isinstance(rows, str):
        rows = json.loads(rows)
    base, price = str(raw["symbol"]).partition("/")[0], needed(raw.get("price"), quirks)
    total = ZERO
    for row in rows:
        amount, coin = needed(row.get(amount_name), quirks), row.get(coin_name)
        if coin == currency:
            total += amount
        elif (coin, currency) == (quote, base):
            total += booked(amount / price)
        elif (coin, currency) == (base, quote):
            total += booked(amount * price)
        elif amount:
            log.error("tax_in_third_coin exchange=%s coin=%s", quirks.code, coin)
    return total


def turn_of(fill: Fill) -> tuple[datetime, Side, bool, Decimal, str]:
    """Return by what fills are sorted so that they stand as they happened.

    Ids do not tell it, and one move of the price fills several orders in one millisecond. Which
    of them came first decides at what price a position that turns around was opened. A rising
    price meets resting sells and an order that buys at once from the lowest on, a falling one
    resting buys and an order that sells at once from the highest on.
    """
    rises = (fill.side is Side.SELL) is fill.maker
    return fill.time, fill.side, fill.maker, fill.price if rises else -fill.price, fill.trade_id


@dataclass(frozen=True, slots=True)
class Held:
    """A contract position of an account; `leverage` is how many times its margin it is worth.

    It is `hedged` where the account holds long and short positions of the contract apart.
    """

    symbol: str
    side: str
    quantity: Decimal
    entry_price: Decimal | None
    leverage: Decimal | None
    liquidation_price: Decimal | None
    hedged: bool = False

    @property
    def base(self) -> Decimal:
        """Return the coins that it holds, negative when it owes them."""
        return -self.quantity if self.side == "short" else self.quantity


def to_position(raw: Mapping[str, Any], quirks: Quirks) -> Held:
    """Turn the library's position into ours, an empty one too; raise ExchangeError if garbled."""
    quantity = needed(raw.get("contracts"), quirks)
    if quantity and not raw.get("side"):
        raise garbled(quirks)
    return Held(
        symbol=raw["symbol"],
        side=str(raw.get("side") or ""),
        quantity=quantity,
        hedged=bool(raw.get("hedged")),
        entry_price=decimal(raw.get("entryPrice")),
        leverage=decimal(raw.get("leverage")),
        liquidation_price=decimal(raw.get("liquidationPrice")) or None,
    )


def to_balances(answer: Mapping[str, Any]) -> dict[str, Balance]:
    """Turn the library's balance into ours, without currencies of which there is none."""
    balances = {}
    for currency in answer.get("total") or {}:
        part = answer[currency]
        total, free, used = (decimal(part.get(name)) for name in ("total", "free", "used"))
        total = total if total is not None else (free or ZERO) + (used or ZERO)
        free = free if free is not None else total - (used or ZERO)
        if total:
            balances[currency] = Balance(free, total - free)
    return balances


def decimal(value: Any) -> Decimal | None:
    """Read a finite number; None where there is none."""
    if value is None or value == "":
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def needed(value: Any, quirks: Quirks) -> Decimal:
    """Read a number that must be there; raise ExchangeError if it is not."""
    found = decimal(value)
    if found is None:
        raise garbled(quirks)
    return found


def garbled(quirks: Quirks) -> ExchangeError:
    """Return the error for an answer that lacks what it must hold."""
    return ExchangeError("exchange_failed", exchange=quirks.code)


def at(value: Any) -> datetime:
    """Read a moment told in milliseconds."""
    return datetime.fromtimestamp(int(value) / 1000, UTC)


def _status(name: str | None, quantity: Decimal, filled: Decimal) -> Status:
    status = _STATUS.get(name or "", Status.OPEN)
    if status is Status.OPEN and filled > 0:
        return Status.PARTIAL
    if status is Status.FILLED and filled < quantity:
        # Ended with a part unfilled: nothing more is expected of it.
        return Status.CANCELLED
    if status is Status.CANCELLED and quantity and filled >= quantity:
        return Status.FILLED
    return status


def to_fee(raw: Mapping[str, Any]) -> tuple[Decimal, str]:
    """Read what a trade cost and in which currency; zero without one if it does not tell."""
    fees: Iterable[Mapping[str, Any]] = [raw["fee"]] if raw.get("fee") else raw.get("fees") or []
    for fee in fees:
        cost = decimal(fee.get("cost"))
        if cost is not None and fee.get("currency"):
            return cost, str(fee["currency"])
    return ZERO, ""
