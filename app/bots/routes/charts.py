"""What a chart needs of its reader."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from flask_babel import gettext
from flask_login import current_user

from app.bots.routes.desk import locale
from app.formatting import full_price


def chart_json(chart: Mapping[str, Any]) -> dict[str, Any]:
    """Add to a chart what depends on its reader: the zone and a summary in words."""
    bars = chart["candles"]
    summary = ""
    if bars:
        tick = Decimal(chart["tick"]) if chart["tick"] else None
        low, high = min(Decimal(bar[3]) for bar in bars), max(Decimal(bar[2]) for bar in bars)
        summary = gettext(
            "%(symbol)s: last price %(last)s, lowest %(low)s, highest %(high)s in this picture.",
            symbol=chart["symbol"],
            last=full_price(Decimal(bars[-1][4]), tick, locale()),
            low=full_price(low, tick, locale()),
            high=full_price(high, tick, locale()),
        )
    return {**chart, "zone": current_user.profile.timezone, "summary": summary}
