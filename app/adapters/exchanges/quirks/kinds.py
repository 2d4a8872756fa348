"""What may differ between exchanges, as one record of plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from app.trading.market import MarketKind

DAY_MS = 86_400_000


class Action(StrEnum):
    """What the caller has to do about an error code; the order of an unknown code is UNKNOWN.

    Only FIX, FUNDS, STOP, VENUE and CLOCK prove that an order was not placed.
    """

    # Wait for all who share the limit; an order is looked up by its client id first.
    BACKOFF = "backoff"
    # Nobody knows what happened: look up by client id, never send blindly again.
    UNKNOWN = "unknown"
    # The request is wrong: never send it unchanged again.
    FIX = "fix"
    # Not enough money: leave the level empty and tell once.
    FUNDS = "funds"
    # The order is final already: read it and its fills.
    GONE = "gone"
    # The exchange has an order with this client id: look it up and adopt it.
    DUPLICATE = "duplicate"
    # The key or the account does not work: pause what uses it and tell its owner.
    STOP = "stop"
    # It is as wanted already.
    NOOP = "noop"
    # The pair or the platform is closed: try again slowly.
    VENUE = "venue"
    # Measure the clock anew; only then may the same order be sent once more.
    CLOCK = "clock"


PROVES_REFUSAL = frozenset({Action.FIX, Action.FUNDS, Action.STOP, Action.VENUE, Action.CLOCK})


class Scope(StrEnum):
    """Who shares a limit: all behind one address, or one account."""

    ADDRESS = "address"
    ACCOUNT = "account"


class Lane(StrEnum):
    """Kinds of calls that exchanges count apart; cancels and stops outrank the others."""

    CANCEL = "cancel"
    PLACE = "place"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Rate:
    """So many units in so many seconds; all of them may be used at once."""

    units: float
    seconds: float


@dataclass(frozen=True, slots=True)
class UsedHeader:
    """A header that tells how much of a limit is used (or left) in its window."""

    name: str
    scope: Scope
    # True: it tells what is left, not what is used.
    tells_left: bool = False
    # Only calls of this lane carry it; None: all do.
    lane: Lane | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What an exchange allows, a little below its documented limits.

    Where its address limit counts weights, a call costs its weight; `account` counts calls.
    """

    address: Rate
    account: Mapping[Lane, Rate]
    # Calls cost their weight on the address, by the library's table; else one each.
    weighted: bool = False
    used: tuple[UsedHeader, ...] = ()
    # Moment (ms) at which an account's limit is whole again, and ms until then.
    reset_at_header: str = ""
    reset_in_header: str = ""


@dataclass(frozen=True, slots=True)
class Quirks:
    """One exchange."""

    code: str
    name: str
    # What it usually takes of the traded value.
    maker_fee: Decimal
    taker_fee: Decimal
    has_testnet: bool
    needs_passphrase: bool
    fee_in_received_asset: bool
    # Where a customer makes a key.
    key_page: str
    options: Mapping[str, Any]
    limits: Limits
    kinds: frozenset[MarketKind] = frozenset({MarketKind.SPOT})
    # Longest client id and what it may consist of.
    client_id_length: int = 32
    client_id_pattern: str = "[A-Za-z0-9_-]+"
    # How many orders may rest on one pair; None: no limit of the exchange is known.
    max_open_orders: int | None = None
    # How long it may fail to find an order that it has.
    absence_grace_s: int = 300
    # Beside the client id; market orders are always sized in base currency.
    order_params: Mapping[str, Any] = field(default_factory=dict)
    market_order_params: Mapping[str, Any] = field(default_factory=dict)
    cancel_id_param: str = "clientOrderId"
    # `fetch_order` does not take a client id; the lists of orders do, by this parameter.
    find_in_lists_by: str | None = None
    # What every answer of the exchange holds; anything else was not written by it.
    envelope: frozenset[str] = frozenset()
    # Rows on a page of open orders, and how to ask for the next one: by which parameter, and the
    # field of the raw rows that holds its value (None: the id of the oldest order).
    open_orders_page: int | None = None
    page_param: str = ""
    page_field: str | None = None
    # Whether one call tells open orders, and fills, of all pairs of a kind; parameters that say
    # which kind; and the raw field that names the pair.
    all_open_orders: bool = False
    all_fills: bool = False
    kind_params: Mapping[MarketKind, Mapping[str, Any]] = field(default_factory=dict)
    symbol_field: str = "symbol"
    # Fewest levels of a book that it gives.
    smallest_book: int = 1
    fills_page: int = 100
    fills_window_ms: int = 7 * DAY_MS
    # How to ask for the next page of fills of one moment: by which parameter, and the field of the
    # raw rows that holds its value. None: it can't be asked for.
    fills_mark: tuple[str, str] | None = None
    # Parameters that name one order when its fills are asked for: by client id, or by its own id.
    fills_by_client_id: str | None = None
    fills_by_order_id: str | None = None
    # Whether stop orders rest there under our client id; parameters beside their trigger for
    # contracts by side, and those that cancel one.
    has_stops: bool = False
    contract_stop_params: Mapping[str, Any] = field(default_factory=dict)
    stop_cancel_params: Mapping[str, Any] = field(default_factory=dict)
    # Name of the client id in a raw fill; None: it must be looked up by the order's own id.
    fill_client_id: str | None = None
    # Where it must: the method of the library that lists orders of a pair, how many it tells, and
    # parameters beside. One call instead of many, where others trade on the account as well.
    orders_list: tuple[str, int, Mapping[str, Any]] | None = None
    # Name of the currency of its fee; None: as the library tells it.
    fill_fee_currency: str | None = None
    # Field of a raw fill that lists taxes taken beside the fee, and in it those of coin and amount.
    fill_taxes: tuple[str, str, str] | None = None
    # Where an answer about balances names the account, if the one about the key does not.
    balance_account: str | None = None
    # What it usually takes of the traded value on contracts, as maker and as taker.
    contract_fees: tuple[Decimal, Decimal] | None = None
    # Fields of a contract's raw ticker: the rate that falls due next, and when (ms).
    ticker_funding: tuple[str, str] | None = None
    # How to see whether margin is isolated: method of the library, field, and what it must say.
    margin_mode: tuple[str, str, str] | None = None
    # Beside an order that may only close a position.
    closing_params: Mapping[str, Any] = field(default_factory=dict)
    # What asks for all fills of contracts where the library asks for ordinary ones only.
    contract_fills_params: Mapping[str, Any] = field(default_factory=dict)
    # Field of a raw fill that tells its kind, and what kinds mean: nothing for an ordinary one,
    # else how the exchange itself closed a position. Rows of other kinds are no fills.
    fill_kinds: tuple[str, Mapping[str, str]] = ("", MappingProxyType({}))
    # Parameters that ask for all contract positions (empty where only coins are traded), and in
    # what contracts are settled: each is asked for itself.
    positions_params: Mapping[str, Any] = field(default_factory=dict)
    settle_coins: tuple[str, ...] = ()
    # Parameters under which the list of fills tells funding payments; empty: it tells none.
    funding_params: Mapping[str, Any] = field(default_factory=dict)
    # What carries the operator's partner id: a header (sent by the library in its own name unless
    # we take it off), a parameter of the order, or the beginning of the client id.
    partner_header: str | None = None
    partner_param: str | None = None
    partner_prefix: str | None = None
    # What each code asks for, and words that decide where one code has many meanings.
    actions: Mapping[str, Action] = field(default_factory=dict)
    words: Mapping[str, Action] = field(default_factory=dict)
    # Codes of GONE that for a new order prove that it was not placed.
    refused_when_placing: frozenset[str] = frozenset()
    # Codes of refusals that a pair's rules explain if they are other than we know: its steps, its
    # smallest and greatest order, or that it is not traded any more.
    misfits: frozenset[str] = frozenset()
    # Codes that say that there is no such order.
    absent: frozenset[str] = frozenset()
    # Codes and statuses of an exceeded limit that all behind the address share, and of one that
    # is the account's own; each with the seconds to stop for, unless the answer tells them.
    address_limits: Mapping[str, float] = field(default_factory=dict)
    account_limits: Mapping[str, float] = field(default_factory=dict)

    def codes(self, *actions: Action) -> frozenset[str]:
        """Return the codes that ask for any of these."""
        return frozenset(code for code, action in self.actions.items() if action in actions)


def actions(**codes: str) -> dict[str, Action]:
    """Read a table from texts of codes; a code stands in one of them only."""
    table: dict[str, Action] = {}
    for name, text in codes.items():
        for code in text.split():
            if code in table:
                raise ValueError(f"code {code} stands twice")
            table[code] = Action(name)
    return table
