"""How the exchanges differ, as data. A new exchange is one file here and its line in QUIRKS.

A code says what to do about it (`Action`); a code that stands nowhere proves nothing.
"""

from collections.abc import Mapping

from app.adapters.exchanges.quirks.binance import BINANCE
from app.adapters.exchanges.quirks.bybit import BYBIT
from app.adapters.exchanges.quirks.kinds import Quirks
from app.adapters.exchanges.quirks.kucoin import KUCOIN
from app.adapters.exchanges.quirks.mexc import MEXC
from app.adapters.exchanges.quirks.okx import OKX

__all__ = ["QUIRKS", "Quirks"]

QUIRKS: Mapping[str, Quirks] = {one.code: one for one in (BYBIT, BINANCE, OKX, KUCOIN, MEXC)}
