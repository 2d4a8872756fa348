"""What a new bot can stand on: accounts, pairs, free money and presets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import select

from app.bots import funds, presets
from app.bots.grounds import Grounds, check_contract, find_grounds, own_account, pair_of
from app.bots.queries.cards import BotCard
from app.db import db, utc_now
from app.errors import Conflict, NotFound, Unavailable
from app.exchanges.catalogue import VENUES
from app.exchanges.models import Exchange, ExchangeAccount
from app.markets.queries import candles, day_figures, last_prices, search_markets
from app.trades.owners import Pair
from app.trades.queries import Line
from app.trading.market import MarketKind
from app.trading.strategies import STRATEGIES
from app.trading.strategy import Field

FIRST_INVESTMENT = Decimal(1000)
PAIRS_SHOWN = 20


def offered_fields(strategy: str) -> tuple[Field, ...]:
    """Return the parameters of a strategy that a person is asked for."""
    known = STRATEGIES.get(strategy)
    if known is None:
        return ()
    return tuple(known.fields)


def offered_strategies() -> tuple[str, ...]:
    """Return the names of the strategies that can be chosen."""
    return tuple(STRATEGIES)


# --- accounts and pairs ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AccountChoice:
    """An account in the list, and why it can't be used, if it can't."""

    id: int
    label: str
    mode: str
    exchange: str
    venue: str
    testnet: bool
    usable: bool
    reason: Line | None


def account_choices(user_id: int) -> tuple[AccountChoice, ...]:
    """Return a person's accounts, oldest first."""
    rows = db.session.execute(
        select(ExchangeAccount, Exchange)
        .join(Exchange, Exchange.code == ExchangeAccount.venue)
        .where(ExchangeAccount.user_id == user_id, ExchangeAccount.deleted_at.is_(None))
        .order_by(ExchangeAccount.id)
    ).all()
    disabled = set(db.session.scalars(select(Exchange.code).where(~Exchange.enabled)))
    choices = []
    for account, venue in rows:
        reason = None
        if not account.active:
            reason = Line("account_switched_off", {"account": account.label})
        elif {account.exchange, account.venue} & disabled:
            reason = Line("exchange_disabled", {"exchange": venue.name})
        choices.append(
            AccountChoice(
                account.id, account.label, account.mode, venue.name, account.venue,
                account.testnet, reason is None, reason,
            )
        )  # fmt: skip
    return tuple(choices)


@dataclass(frozen=True, slots=True)
class PairChoice:
    """A pair in the search, and why it can't be traded, if it can't."""

    pair: Pair
    price: Decimal | None
    day_change: Decimal | None
    day_volume: Decimal
    tradable: bool
    reason: Line | None


def find_pairs(user_id: int, account_id: int, words: str) -> tuple[PairChoice, ...]:
    """Find pairs of an account's exchange by coin: tradable ones first, coins before contracts.

    Contracts are left out where bots trade none.
    """
    account = own_account(user_id, account_id)
    rows = search_markets(
        words,
        exchanges=[account.venue],
        kind=None if VENUES[account.venue].futures else MarketKind.SPOT.value,
        tradable_only=False,
        limit=PAIRS_SHOWN,
    )
    ids = [row.id for row in rows]
    prices, days = last_prices(ids), day_figures(ids)
    found = []
    for row in rows:
        code = f"market_{row.blocked_reason}" if row.blocked_reason else ""
        found.append(
            PairChoice(
                pair=pair_of(row),
                price=prices[row.id].price,
                day_change=days[row.id].change,
                day_volume=days[row.id].volume,
                tradable=not code,
                reason=Line(code, {"symbol": row.symbol}) if code else None,
            )
        )
    return tuple(sorted(found, key=lambda one: (not one.tradable, one.pair.kind != "spot")))


def first_pair(user_id: int, account_id: int) -> int | None:
    """Return the pair that a new bot begins with: BTC, else the first that can be traded."""
    for words in ("BTC", ""):
        for choice in find_pairs(user_id, account_id, words):
            if choice.tradable:
                return choice.pair.id
    return None


# --- the draft ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PresetChoice:
    """A preset card; without enough history it has a reason instead of a grid."""

    name: str
    days: int
    available: bool
    reason: Line | None
    from_day: datetime | None = None
    to_day: datetime | None = None
    lower: Decimal | None = None
    upper: Decimal | None = None
    grids: int | None = None
    spacing: str | None = None
    stop_loss: Decimal | None = None
    profit_low: Decimal | None = None
    profit_high: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What a bot that is being made stands on."""

    accounts: tuple[AccountChoice, ...]
    account: AccountChoice | None
    free: Decimal | None
    strategies: tuple[str, ...]
    pair: Pair | None
    price: Decimal | None
    price_at: datetime | None
    price_stale: bool
    day_change: Decimal | None
    presets: tuple[PresetChoice, ...]
    problem: Line | None

    def preset(self, name: str) -> PresetChoice | None:
        """Return an available preset by its name."""
        return next((each for each in self.presets if each.name == name and each.available), None)


def make_draft(
    user_id: int,
    account_id: int | None,
    market_id: int | None,
    investment: Decimal | None = None,
    *,
    but: int | None = None,
    balances: Mapping[str, Decimal] | None = None,
) -> Draft:
    """Return what a new bot could stand on; what is not theirs or not there is left empty.

    `but` is a bot whose own money counts as free.
    """
    accounts = account_choices(user_id)
    usable = [account for account in accounts if account.usable]
    chosen = next((account for account in accounts if account.id == account_id), None)
    if chosen is None:
        # With none to use the first one says why.
        fitting = _account_for(user_id, usable, market_id)
        chosen = fitting or next(iter([*usable, *accounts]), None)
    empty = Draft(
        accounts, chosen, None, offered_strategies(), None, None, None, True, None, (), None
    )
    if chosen is None:
        return empty
    market_id = market_id or first_pair(user_id, chosen.id)
    try:
        grounds = find_grounds(own_account(user_id, chosen.id), market_id or 0)
    except NotFound:
        fallback = first_pair(user_id, chosen.id)
        if fallback is None:
            return empty
        grounds = find_grounds(own_account(user_id, chosen.id), fallback)
    row = grounds.row
    free = free_money(grounds, but=but, balances=balances)
    return replace(
        empty,
        free=free,
        pair=pair_of(row),
        price=grounds.price.price,
        price_at=grounds.price.at,
        price_stale=grounds.price.is_stale,
        day_change=day_figures([row.id])[row.id].change,
        presets=preset_choices(grounds, investment or first_investment(free)),
        problem=_problem(grounds),
    )


def _problem(grounds: Grounds) -> Line | None:
    """Return why a pair can't be traded on its account, if it can't."""
    row = grounds.row
    if row.blocked_reason:
        return Line(f"market_{row.blocked_reason}", {"symbol": row.symbol}, "error")
    try:
        check_contract(grounds.account, row)
    except Conflict as error:
        return Line(error.code, error.values, "error")
    return None


def _account_for(
    user_id: int, usable: Sequence[AccountChoice], market_id: int | None
) -> AccountChoice | None:
    """Return the first account at the exchange of a pair."""
    for account in usable if market_id is not None else ():
        try:
            find_grounds(own_account(user_id, account.id), market_id or 0)
        except NotFound:
            continue
        return account
    return None


def draft_of_bot(
    user_id: int, card: BotCard, balances: Mapping[str, Decimal] | None = None
) -> Draft:
    """Return what new settings of a bot stand on; its account and pair stay as they are."""
    accounts = account_choices(user_id)
    account = own_account(user_id, card.account_id)
    grounds = find_grounds(account, card.pair.id)
    return Draft(
        accounts=accounts,
        account=next((each for each in accounts if each.id == account.id), None),
        free=free_money(grounds, but=card.id, balances=balances),
        strategies=offered_strategies(),
        pair=card.pair,
        price=grounds.price.price,
        price_at=grounds.price.at,
        price_stale=grounds.price.is_stale,
        day_change=day_figures([card.pair.id])[card.pair.id].change,
        presets=(),
        problem=None,
    )


def free_money(
    grounds: Grounds, *, but: int | None = None, balances: Mapping[str, Decimal] | None = None
) -> Decimal | None:
    """Return what a bot could take of the account in the quote coin, None if nobody knows now."""
    try:
        return funds.read_funds(grounds.account, but=but, balances=balances).free(
            grounds.market.quote
        )
    except Unavailable:
        return None


def first_investment(free: Decimal | None) -> Decimal:
    """Return the money that a new form begins with."""
    if free is None or free <= 0:
        return FIRST_INVESTMENT
    return min(FIRST_INVESTMENT, free)


def preset_choices(grounds: Grounds, investment: Decimal) -> tuple[PresetChoice, ...]:
    """Return the three presets of a grid for so much money."""
    price = grounds.price.price
    if price is None:
        line = Line("no_price_yet", {"symbol": grounds.row.symbol})
        return tuple(PresetChoice(kind.name, kind.days, False, line) for kind in presets.KINDS)
    history = candles(grounds.row.id, "1h", presets.LONGEST_DAYS * 24)
    now = utc_now()
    return tuple(
        _preset_choice(presets.make_preset(kind, history, grounds.market, price, investment, now))
        for kind in presets.KINDS
    )


def _preset_choice(made: presets.Preset | presets.NoPreset) -> PresetChoice:
    kind = made.kind
    if isinstance(made, presets.NoPreset):
        return PresetChoice(kind.name, kind.days, False, Line(made.code, made.values))
    return PresetChoice(
        name=kind.name,
        days=kind.days,
        available=True,
        reason=None,
        from_day=made.from_time,
        to_day=made.to_time,
        lower=made.lower,
        upper=made.upper,
        grids=made.grids,
        spacing=made.spacing,
        stop_loss=made.stop_loss,
        profit_low=made.profit_low,
        profit_high=made.profit_high,
    )
