"""Pairs come into being, get a source of prices, and lose what nobody needs any more."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.dialects.postgresql import insert

from app.config import current_config
from app.db import db, utc_now
from app.events import publish
from app.markets import store
from app.markets.catalogue import Pair, Rules, default_rules, known_pairs
from app.markets.events import PairsTurned, RulesChanged
from app.markets.models import MarketRow
from app.markets.opening import open_source
from app.markets.sources import Listing, MarketState, Source
from app.trading.market import MarketKind

NO_PRICES, DELISTED = "no_prices", "delisted"
KEEP_POINTS = timedelta(hours=48)
KEEP_UNFOLLOWED_POINTS = timedelta(hours=1)
KEEP_MINUTES = timedelta(days=8)
# At 600 times the speed two days are many points.
MOST_POINTS = 500_000
# What decides how an order of a bot is fitted.
_FITTING = select(MarketRow.tick, MarketRow.lot, MarketRow.min_quantity, MarketRow.min_notional)


def seed_markets() -> None:
    """Add the known pairs and give each its first price, where the source knows one.

    Runs any number of times; rules that were read from an exchange since are left alone.
    """
    for pair in known_pairs():
        db.session.execute(
            insert(MarketRow)
            .values(**_values(pair))
            .on_conflict_do_nothing(index_elements=["exchange", "symbol"])
        )
    source = open_source(current_config(), read_known_sources())
    try:
        settle_markets(source)
        now = utc_now()
        for state in store.read_states():
            _give_first_price(source, state, now)
    finally:
        source.close()


def read_known_sources() -> frozenset[str]:
    """Return the identities of what was played before: recordings among them were checked."""
    return frozenset(db.session.scalars(select(MarketRow.source).distinct()))


def settle_markets(source: Source) -> list[MarketState]:
    """Add the pairs that a source brings, block those without prices, return the others."""
    for listing in source.listings():
        _add_listing(listing)
    states = store.read_states()
    covered = [state for state in states if source.covers(state) is not None]
    ids = [state.id for state in covered]
    _turn(NO_PRICES, MarketRow.id.not_in(ids), MarketRow.blocked_reason == "")
    _turn("", MarketRow.id.in_(ids), MarketRow.blocked_reason == NO_PRICES)
    return covered


def begin_market(source: Source, state: MarketState, now: datetime) -> None:
    """Let a pair begin with a source that it was not played from before."""
    identity = source.covers(state)
    if identity is None or identity == state.source:
        return
    history = source.history(state, now)
    store.begin_market(state, identity, history, source.stale_after_s(state), now)


def apply_rules(rules: Mapping[int, Rules | None]) -> None:
    """Take over rules as the exchange states them; a pair that it dropped can't be chosen."""
    for market_id, stated in sorted(rules.items()):
        set_blocked(market_id, DELISTED if stated is None else "")
        if stated is None:
            continue
        values = _rule_values(stated)
        if not stated.tiers:
            # Not told this time; those that are known still hold.
            del values["tiers"]
        before = db.session.execute(_FITTING.where(MarketRow.id == market_id)).one()
        db.session.execute(update(MarketRow).where(MarketRow.id == market_id).values(**values))
        if tuple(before) != (stated.tick, stated.lot, stated.min_quantity, stated.min_notional):
            publish(RulesChanged(market_id))


def prune_points(floors: Mapping[int, int]) -> int:
    """Delete price points that nobody needs; return how many rows went.

    `floors` names, for each pair that an account follows, the last number that all have seen.
    """
    store.delete_candles(KEEP_MINUTES)
    return store.delete_points(floors, KEEP_POINTS, KEEP_UNFOLLOWED_POINTS, MOST_POINTS)


def set_blocked(market_id: int, reason: str) -> None:
    """Stop new trading in a pair for a reason, or (empty) allow it again."""
    _turn(reason, MarketRow.id == market_id, MarketRow.blocked_reason != reason)


def _turn(reason: str, *which: ColumnElement[bool]) -> None:
    """Block pairs or free them, and announce those that were otherwise before."""
    turned = update(MarketRow).where(*which).values(blocked_reason=reason).returning(MarketRow.id)
    numbers = tuple(sorted(db.session.scalars(turned)))
    if numbers:
        publish(PairsTurned(numbers, reason))


def _give_first_price(source: Source, state: MarketState, now: datetime) -> None:
    identity = source.covers(state)
    if identity is None:
        return
    if state.last_price is None:
        price = source.first_price(state)
        if price is not None:
            store.set_first_price(state, price, now)


def _add_listing(listing: Listing) -> None:
    kind = MarketKind(listing.kind)
    rules = default_rules(listing.exchange, tick=listing.tick, kind=kind)
    pair = Pair(listing.exchange, listing.base, listing.quote, rules, kind)
    values = {**_values(pair), "symbol": listing.symbol}
    db.session.execute(
        insert(MarketRow)
        .values(**values)
        .on_conflict_do_nothing(index_elements=["exchange", "symbol"])
    )


def _values(pair: Pair) -> dict[str, object]:
    return {
        "exchange": pair.exchange,
        "symbol": pair.symbol,
        "base": pair.base,
        "quote": pair.quote,
        "kind": pair.kind.value,
        "blocked_reason": "",
        "source": "",
        "last_seq": 0,
        "source_position": 0,
        "stale_after_s": 60,
        "stale_reason": "",
        **_rule_values(pair.rules),
    }


def _rule_values(rules: Rules) -> dict[str, object]:
    return {
        "tick": rules.tick,
        "lot": rules.lot,
        "min_quantity": rules.min_quantity,
        "min_notional": rules.min_notional,
        "maker_fee": rules.maker_fee,
        "taker_fee": rules.taker_fee,
        "fee_side": rules.fee_side,
        "max_leverage": rules.max_leverage,
        "tiers": [[str(part) for part in tier] for tier in rules.tiers] or None,
        "funding_interval_s": rules.funding_interval_s,
    }
