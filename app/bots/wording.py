"""Putting lines into words: prices with the decimals of the pair, money and coins with their codes.

A line is a code with values, told by whatever happened; `say` looks its sentence up.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from flask_babel import get_locale
from flask_babel.speaklater import LazyString

from app.bots.contract_texts import POSITION_CHOICES
from app.bots.labels import (
    CHOICE_LABELS,
    FIELD_HELPS,
    FIELD_LABELS,
    ORDER_STATUS_LABELS,
    PURPOSE_LABELS,
    RISK_LABELS,
    SIDE_LABELS,
    STATE_LABELS,
    STRATEGY_LABELS,
    STRATEGY_TEXTS,
)
from app.bots.texts import ORDERS, TEXTS
from app.formatting import format_amount, format_money, format_percent, format_plain, full_price
from app.formatting.filters import clock as format_clock
from app.formatting.filters import current_zone_label as zone_of_reader
from app.i18n import describe_code, has_text
from app.money import ceil_to_cents
from app.trades.owners import Pair


class Sayable(Protocol):
    """Anything that has a code and values: a line, a problem, an error."""

    @property
    def code(self) -> str: ...

    @property
    def values(self) -> Mapping[str, Any]: ...


Writer = Callable[[Any, Pair | None, Mapping[str, Any]], str]


def _price(value: Any, pair: Pair | None, values: Mapping[str, Any]) -> str:
    number = _number(value)
    if number is None:
        return str(value)
    return full_price(number, pair.tick, _locale()) if pair else format_plain(number, _locale())


def _coins(value: Any, pair: Pair | None, values: Mapping[str, Any]) -> str:
    number = _number(value)
    if number is None:
        return str(value)
    return format_amount(number, pair.lot if pair else None, pair.base if pair else "", _locale())


def _money(value: Any, pair: Pair | None, values: Mapping[str, Any]) -> str:
    number = _number(value)
    if number is None:
        return str(value)
    currency = str(values.get("currency") or (pair.quote if pair else ""))
    return format_money(number, currency, _locale()).strip()


def _money_at_least(value: Any, pair: Pair | None, values: Mapping[str, Any]) -> str:
    number = _number(value)
    return _money(value if number is None else ceil_to_cents(number), pair, values)


def _plain(value: Any, pair: Pair | None, values: Mapping[str, Any]) -> str:
    number = _number(value)
    return str(value) if number is None else format_plain(number, _locale())


def _percent(value: Any, pair: Pair | None, values: Mapping[str, Any]) -> str:
    number = _number(value)
    return str(value) if number is None else format_percent(number, _locale())


def _bound(value: Any, pair: Pair | None, values: Mapping[str, Any]) -> str:
    return (_percent if values.get("in_percent") else _plain)(value, pair, values)


def _named(names: Mapping[str, LazyString]) -> Writer:
    def write(value: Any, pair: Pair | None, values: Mapping[str, Any]) -> str:
        return str(names.get(str(value), value))

    return write


def _ending(value: Any, pair: Pair | None, values: Mapping[str, Any]) -> str:
    names = CHOICE_LABELS
    if pair is not None and pair.kind != "spot":
        names = {**CHOICE_LABELS, **POSITION_CHOICES}
    return str(names.get(str(value), value))


def _own_coins(value: Any, pair: Pair | None, values: Mapping[str, Any]) -> str:
    number = _number(value)
    currency = str(values.get("currency") or (pair.base if pair else ""))
    return str(value) if number is None else format_amount(number, None, currency, _locale())


def _moment(value: Any, pair: Pair | None, values: Mapping[str, Any]) -> str:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    return f"{format_clock(moment)} {zone_of_reader()}"


def _rule(value: Any, pair: Pair | None, values: Mapping[str, Any]) -> str:
    code = f"rule_{value or 'none'}"
    known = {
        "min_notional": _money(values.get("min_notional"), pair, values),
        "min_quantity": _coins(values.get("min_quantity"), pair, values),
        "lot": _coins(values.get("lot"), pair, values),
    }
    if code not in TEXTS or values.get(str(value)) is None:
        code = "rule_none"
    return str(TEXTS[code]) % known


def _order_answer(value: Any, pair: Pair | None, values: Mapping[str, Any]) -> str:
    return str(ORDERS.get(str(value), ORDERS["refused"]))


WRITERS: Mapping[str, Writer] = {
    **dict.fromkeys(
        (
            "price",
            "lower",
            "upper",
            "limit",
            "from_price",
            "tick",
            "trigger",
            "touched",
            "stop_loss",
        ),
        _price,
    ),
    **dict.fromkeys(("quantity", "coins", "min_quantity", "lot"), _coins),
    **dict.fromkeys(
        ("needed", "free", "profit", "total", "proceeds", "min_notional", "equity"), _money
    ),
    **dict.fromkeys(
        ("value", "days", "have", "grids", "tries", "version", "amount"),
        _plain,
    ),
    **dict.fromkeys(("minimum", "maximum"), _bound),
    **dict.fromkeys(("gross", "fees", "share", "rate"), _percent),
    "how": _ending,
    "side": _named(SIDE_LABELS),
    "state": _named(STATE_LABELS),
    "old": _named(ORDER_STATUS_LABELS),
    "new": _named(ORDER_STATUS_LABELS),
    "rule": _rule,
    "since": _moment,
}
# Where the same word means another kind of thing.
_COUNTS = dict.fromkeys(("limit", "used", "better_limit"), _plain)
WRITERS_BY_CODE: Mapping[str, Mapping[str, Writer]] = {
    **dict.fromkeys(
        ("plan_limit", "plan_limit_highest", "live_plan_limit", "live_plan_limit_highest"), _COUNTS
    ),
    **dict.fromkeys(("past_runs_a_day_spent", "past_runs_a_day_spent_highest"), _COUNTS),
    "investment_too_small": {"value": _money, "minimum": _money_at_least},
    "buys_smaller": {"amount": _money},
    "not_enough_coins": {"needed": _own_coins, "free": _own_coins},
    "trigger_already_reached": {"value": _price},
    "order_edited_outside": {"ours": _price},
    **dict.fromkeys(("limit_max_capital", "limit_daily_loss"), {"value": _money, "limit": _money}),
    **dict.fromkeys(("limit_open_orders", "limit_leverage"), {"value": _plain, "limit": _plain}),
    **dict.fromkeys(("take_profit_share_reached", "stop_loss_share_reached"), {"limit": _money}),
    "denied_not_enough_coins": {"needed": _coins, "free": _coins},
    # The size of an order from before the lot was another.
    **dict.fromkeys(
        ("orders_too_small", "orders_without_means", "orders_without_margin"),
        {"quantity": _own_coins},
    ),
    "protection_refused": {"code": _order_answer},
    "position_unprotected": {"held": _coins},
    "trailing_below_fees": {"profit": _percent},
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "investment_too_small": {"rule": None},
    "too_many_digits": {"maximum": 38},
    "too_small": {"minimum": 0},
    "too_large": {"maximum": "—"},
    "stop_requested": {"how": ""},
}
EXAMPLE = Decimal("1234.5")
# What we compute has more decimals than what people may type.
_COMPUTED = re.compile(r"[+-]?[0-9]{1,38}(\.[0-9]{1,40})?", re.ASCII)


def say(line: Sayable, pair: Pair | None = None) -> str:
    """Put a code with its values into a sentence of the reader's language."""
    code, values = _enriched(line.code, line.values)
    own = WRITERS_BY_CODE.get(code, {})
    written = {}
    for name, value in values.items():
        writer = own.get(name) or WRITERS.get(name)
        is_text = writer is None
        written[name] = str(value) if is_text or writer is None else writer(value, pair, values)
    try:
        return describe_code(code, written)
    except KeyError:
        # An old line may lack a value that the sentence names by now.
        return describe_code("", {})


def _enriched(code: str, values: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    if code.startswith("order_") and not has_text(code):
        code = "order_refused"
    values = {**DEFAULTS.get(code, {}), **values}
    if code == "not_a_number":
        values.setdefault("example", format_plain(EXAMPLE, _locale()))
    if code in {"too_small", "too_large"} and values.get("open"):
        code += "_open"
    if code == "fees_exceed_profit":
        lowest, highest = _number(values.get("lowest")), _number(values.get("highest"))
        fee = _number(values.get("fee"))
        if lowest is not None and highest is not None and fee is not None:
            values |= {"gross": lowest + 2 * fee, "fees": 2 * fee}
            if highest > 0:
                code = "fees_exceed_profit_some"
    return code, values


def _number(value: Any) -> Decimal | None:
    if isinstance(value, Decimal):
        return value if value.is_finite() else None
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    # Not everything that stands in a value is a number of ours: people type what they like.
    if not isinstance(value, str) or not _COMPUTED.fullmatch(value):
        return None
    return Decimal(value)


def _locale() -> str:
    return str(get_locale() or "en")


def label_of(names: Mapping[str, LazyString]) -> Callable[[object], str]:
    """Return a filter that names a word, or leaves an unknown one as it is."""

    def label(word: object) -> str:
        return str(names.get(str(word), str(word).replace("_", " ")))

    return label


FILTERS: Mapping[str, Callable[..., object]] = {
    "say": say,
    "plain_number": _number,
    "field_label": label_of(FIELD_LABELS),
    "field_help": label_of(FIELD_HELPS),
    "choice_label": label_of(CHOICE_LABELS),
    "strategy_label": label_of(STRATEGY_LABELS),
    "strategy_text": label_of(STRATEGY_TEXTS),
    "risk_label": label_of(RISK_LABELS),
    "order_status_label": label_of(ORDER_STATUS_LABELS),
    "purpose_label": label_of(PURPOSE_LABELS),
    "bot_state_label": label_of(STATE_LABELS),
}
