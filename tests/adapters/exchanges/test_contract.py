"""What every exchange of the registry must bring; a new one is one file and its line in QUIRKS.

The other tests of this folder run over the registry too, on answers that each exchange gives.
"""

import importlib
import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.exchanges import quirks as registry
from app.adapters.exchanges.ccxt import OWN_PREFIX, CcxtExchange
from app.adapters.exchanges.check import _READERS
from app.adapters.exchanges.client import client_class, make_client
from app.adapters.exchanges.quirks import QUIRKS
from app.adapters.exchanges.quirks.kinds import Action, Lane, Quirks
from app.bots.live.outcomes import PREFIX
from app.exchanges.catalogue import VENUES
from app.settings.rules import PARTNER_IDS
from app.trading.market import MarketKind
from app.trading.orders import OrderKey, Purpose, Side, client_order_id
from app.trading.ports import Accepted, Exchange
from tests.adapters.exchanges import canned, test_check, test_reading
from tests.adapters.exchanges.canned import ACCEPTED, KEYS, NOW_MS, connect, exchange, order

NAMES = sorted(QUIRKS)
NEEDED = (
    "createOrder", "cancelOrder", "fetchOpenOrders", "fetchMyTrades", "fetchBalance", "fetchTime",
    "fetchTickers", "fetchOHLCV", "fetchOrderBook", "fetchMarkets",
)  # fmt: skip


def test_there_are_five() -> None:
    assert set(NAMES) >= {"bybit", "binance", "okx", "kucoin", "mexc"}


@pytest.mark.parametrize("name", NAMES)
def test_entry_stands_under_its_own_name_and_in_the_catalogue(name: str) -> None:
    quirks, venue = QUIRKS[name], VENUES[name]
    assert quirks.code == venue.code == name
    assert venue.name == quirks.name
    assert venue.key_page.startswith("https://")
    assert (venue.has_testnet, venue.needs_passphrase) == (
        quirks.has_testnet, quirks.needs_passphrase,
    )  # fmt: skip
    assert venue.absence_grace_s >= 60
    assert name in _READERS


@pytest.mark.parametrize("name", NAMES)
def test_library_can_what_is_needed(name: str) -> None:
    library = importlib.import_module("ccxt")
    client = getattr(library, name)()
    for ability in NEEDED:
        assert client.has[ability], ability
    assert client.requiredCredentials.get("password", False) is QUIRKS[name].needs_passphrase
    if QUIRKS[name].has_testnet:
        make_client(name, KEYS, testnet=True)
    else:
        with pytest.raises((library.NotSupported, TypeError)):
            make_client(name, KEYS, testnet=True)


@pytest.mark.parametrize("name", NAMES)
def test_limits_are_told_for_every_kind_of_call(name: str) -> None:
    limits = QUIRKS[name].limits
    assert set(limits.account) == set(Lane)
    for rate in (limits.address, *limits.account.values()):
        assert rate.units >= 1
        assert rate.seconds >= 1
    # Taking orders back is never slower than placing them.
    cancel, place = limits.account[Lane.CANCEL], limits.account[Lane.PLACE]
    assert cancel.units / cancel.seconds >= place.units / place.seconds


@pytest.mark.parametrize("name", NAMES)
def test_table_knows_what_matters(name: str) -> None:
    quirks = QUIRKS[name]
    known = set(quirks.actions.values())
    needed = {Action.FIX, Action.FUNDS, Action.GONE, Action.STOP, Action.CLOCK, Action.BACKOFF}
    assert known | set(quirks.words.values()) >= needed
    assert quirks.absent
    assert quirks.address_limits
    assert MarketKind.SPOT in quirks.kinds
    assert all(seconds > 0 for seconds in quirks.address_limits.values())


@pytest.mark.parametrize("name", NAMES)
@given(
    bot_id=st.integers(1, 2**63 - 1),
    epoch=st.integers(1, 10**6),
    level=st.none() | st.integers(0, 1000),
    cycle=st.integers(0, 10**9),
    attempt=st.integers(0, 1000),
    purpose=st.sampled_from(list(Purpose)),
    side=st.sampled_from(list(Side)),
)
def test_client_ids_fit_also_behind_the_longest_partner_id(
    name: str, bot_id: int, epoch: int, level: int | None, cycle: int, attempt: int,
    purpose: Purpose, side: Side,
) -> None:  # fmt: skip
    level = level if purpose is Purpose.GRID else None
    if purpose is Purpose.GRID and level is None:
        level = 0
    key = OrderKey(purpose, level, side, cycle)
    ours = client_order_id(PREFIX, bot_id, epoch, key, attempt)
    quirks = QUIRKS[name]
    longest = "x" * PARTNER_IDS[name].longest if quirks.partner_prefix else ""
    sent = f"{quirks.partner_prefix or ''}{longest}{ours}" if longest else ours
    assert len(sent) <= quirks.client_id_length
    assert re.fullmatch(quirks.client_id_pattern, sent)
    assert ours.startswith(OWN_PREFIX)


@pytest.mark.parametrize("name", NAMES)
def test_adapter_is_a_venue_of_the_core(name: str) -> None:
    venue, _ = exchange(name, ACCEPTED[name])
    found: Exchange = venue
    for ability in ("place", "cancel", "find", "look", "order_fills", "funding_since", "balances"):
        assert callable(getattr(found, ability))
    assert venue.market("BTC/USDT").max_orders == QUIRKS[name].max_open_orders


@pytest.mark.parametrize("name", NAMES)
def test_new_client_spends_no_call_before_its_first(name: str) -> None:
    venue, network = exchange(name, ACCEPTED[name])
    venue.place("BTC/USDT", order())
    assert [request.method for request in network.sent] == ["POST"]
    venue, network = exchange(name, test_reading.BALANCES[name])
    venue.balances()
    assert len(network.sent) == 1


@pytest.mark.parametrize("name", NAMES)
def test_answers_of_every_exchange_are_at_hand_for_the_other_tests(name: str) -> None:
    for answers in (
        canned.ACCEPTED, canned.TIMES, test_reading.ORDERS, test_reading.BALANCES,
        test_check.RIGHTS_PATHS, test_check.REFUSALS,
    ):  # fmt: skip
        assert name in answers


# --- a sixth one --------------------------------------------------------------------------------


@pytest.fixture
def sixth(monkeypatch: pytest.MonkeyPatch) -> Iterator[Quirks]:
    """Add an exchange as a developer would: by one entry."""
    entry = replace(
        QUIRKS["mexc"], code="gate", name="Gate", actions={},
        options={"defaultType": "spot", "unifiedAccount": False},
        absent=frozenset({"ORDER_NOT_FOUND"}), partner_header=None, limits=QUIRKS["okx"].limits,
    )  # fmt: skip
    monkeypatch.setattr(registry, "QUIRKS", {**QUIRKS, "gate": entry})
    for module in ("client", "check", "public"):
        place = importlib.import_module(f"app.adapters.exchanges.{module}")
        monkeypatch.setattr(place, "QUIRKS", registry.QUIRKS)
    yield entry
    client_class.cache_clear()


def test_one_entry_is_enough_to_trade_at_another_exchange(sixth: Quirks) -> None:
    client = make_client("gate", KEYS)
    market: dict[str, Any] = {**canned.spot_market("gate"), "id": "BTC_USDT"}
    client.set_markets([market])
    told = {
        "id": "77", "text": f"t-{canned.CLIENT_ID}", "status": "open", "type": "limit",
        "currency_pair": "BTC_USDT", "side": "buy", "amount": "0.001234", "price": "60000.1",
        "left": "0.001234", "create_time_ms": NOW_MS, "account": "spot",
    }  # fmt: skip
    network = connect(client, told)
    venue = CcxtExchange(client, sixth, now_ms=lambda: NOW_MS)
    assert venue.place("BTC/USDT", order()) == Accepted("77")
    (request,) = [one for one in network.sent if one.method == "POST"]
    assert request.json["price"] == "60000.1"
    assert canned.CLIENT_ID in request.json["text"]
    assert venue.market("BTC/USDT").tick == Decimal("0.1")
