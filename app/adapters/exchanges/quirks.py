"""How the exchanges differ, as data: names, options of the library, limits, and what codes prove.

A code stands in `refused` only when it proves that the exchange does not have the order, in `gone`
when a cancellation came too late for an order that is final. Every other code proves nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DAY_MS = 86_400_000
# The library would name itself to the exchanges as the partner that sent the customer.
OWN_NAME = "Botyard"


@dataclass(frozen=True, slots=True)
class Quirks:
    """One exchange."""

    code: str
    has_testnet: bool
    needs_passphrase: bool
    fee_in_received_asset: bool
    # Where a customer makes a key.
    key_page: str
    options: Mapping[str, Any]
    # Beside the client id; market orders are always sized in base currency.
    order_params: Mapping[str, Any] = field(default_factory=dict)
    market_order_params: Mapping[str, Any] = field(default_factory=dict)
    cancel_id_param: str = "clientOrderId"
    # True: `fetch_order` does not take a client id, the lists of orders do, by this parameter.
    find_in_lists_by: str | None = None
    # What every answer of the exchange holds; anything else was not written by it.
    envelope: frozenset[str] = frozenset()
    # Rows on a page of open orders, and how to ask for the next one: by which parameter, and the
    # field of the raw rows that holds its value (None: the id of the oldest order).
    open_orders_page: int | None = None
    page_param: str = ""
    page_field: str | None = None
    fills_page: int = 100
    fills_window_ms: int = 7 * DAY_MS
    # Name of the client id in a raw fill; None: it must be looked up by the order's own id.
    fill_client_id: str | None = None
    refused: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BYBIT = Quirks(
    code="bybit",
    has_testnet=True,
    needs_passphrase=False,
    fee_in_received_asset=True,
    key_page="https://www.bybit.com/app/user/api-management",
    options={
        "defaultType": "spot",
        "brokerId": OWN_NAME,
        "fetchMarkets": {"types": ["spot", "linear"]},
        # Spares two private calls for every new client; all accounts are unified by now.
        "enableUnifiedMargin": False,
        "enableUnifiedAccount": True,
        "unifiedMarginStatus": 6,
    },
    market_order_params={"marketUnit": "baseCoin"},
    cancel_id_param="orderLinkId",
    find_in_lists_by="orderLinkId",
    envelope=frozenset({"retCode", "result"}),
    open_orders_page=50,
    page_param="cursor",
    page_field="nextPageCursor",
    fill_client_id="orderLinkId",
    refused=_codes(
        # Our request, its price, its size; too little money; the key or the account; the pair.
        """
        10001 10017 110003 110009 110020 110061 110094 12137 170137 170134 170148 170121 170115
        170116 170117 170130 170124 170135 170197 170198 170132 170133 170192 170193 170194
        170371 170372 170136 170140 170210 170217 170218 110017
        110004 110006 110007 110012 110014 110044 110045 110051 110052 110053 110040 110041
        110046 170033 170131
        -2015 33004 10002 10003 10004 10005 10007 10008 10009 10010 10024 10027 10028 10029
        100028 170201 170209 170241
        110021 110022 110023 110042 110063 110066 170151 170157 170159 170031 170224
        """
    ),
    gone=_codes(
        """
        110001 110008 110010 170139 170142 170143 170190 170213 175007
        """
    ),
)

_BINANCE = Quirks(
    code="binance",
    has_testnet=True,
    needs_passphrase=False,
    fee_in_received_asset=True,
    key_page="https://www.binance.com/en/my/settings/api-management",
    options={
        "defaultType": "spot",
        "broker": {"spot": "", "margin": ""},
        "fetchMarkets": {"types": ["spot"]},
        "warnOnFetchOpenOrdersWithoutSymbol": False,
        "recvWindow": 5000,
    },
    fills_page=1000,
    fills_window_ms=DAY_MS,
    refused=_codes(
        """
        -1002 -1013 -1014 -1021 -1022 -1100 -1101 -1102 -1103 -1104 -1105 -1106 -1111 -1112
        -1114 -1115 -1116 -1117 -1121 -1128 -1130 -1131 -2010 -2014 -2015
        """
    ),
    gone=frozenset({"-2011"}),
    absent=frozenset({"-2013"}),
)

_OKX = Quirks(
    code="okx",
    has_testnet=True,
    needs_passphrase=True,
    fee_in_received_asset=True,
    key_page="https://www.okx.com/account/my-api",
    options={"defaultType": "spot", "brokerId": "", "fetchMarkets": {"types": ["spot"]}},
    order_params={"tdMode": "cash"},
    market_order_params={"tgtCcy": "base_ccy"},
    envelope=frozenset({"code", "data"}),
    open_orders_page=100,
    page_param="after",
    fills_page=100,
    fills_window_ms=80 * DAY_MS,
    fill_client_id="clOrdId",
    refused=_codes(
        """
        50100 50101 50102 50103 50104 50105 50106 50107 50108 50109 50110 50111 50112 50113
        50114 50119 50120 51000 51001 51002 51003 51004 51005 51006 51007 51008 51010 51011
        51012 51020 51021 51022 51023 51024 51028 51119 51120 51121 51127 51131 51132 51133
        51136 51137 51138 51143 51155 51156 51159 51162
        """
    ),
    gone=_codes(
        """
        51400 51401 51402 51405 51410
        """
    ),
    absent=frozenset({"51603"}),
)

_KUCOIN = Quirks(
    code="kucoin",
    has_testnet=False,
    needs_passphrase=True,
    fee_in_received_asset=False,
    envelope=frozenset({"code"}),
    key_page="https://www.kucoin.com/account/api",
    options={
        "defaultType": "spot",
        "partner": {"spot": {"id": None, "key": None}, "future": {"id": None, "key": None}},
        "uta": False,
        "hf": True,
        "fetchMarkets": {"types": ["spot"], "fetchTickersFees": False},
    },
    fills_page=100,
    refused=_codes(
        """
        200004 200005 300000 400001 400002 400003 400004 400005 400006 400007 400100 400200
        400350 400370 400400 400500 400600 411100 415000 900001 900003
        """
    ),
    gone=_codes(
        """
        400100-order_not_exist_or_not_allow_to_cancel 400300
        """
    ),
    absent=frozenset({"400300"}),
)

_MEXC = Quirks(
    code="mexc",
    has_testnet=False,
    needs_passphrase=False,
    fee_in_received_asset=False,
    key_page="https://www.mexc.com/user/openapi",
    options={"defaultType": "spot", "broker": OWN_NAME, "fetchMarkets": {"types": {"spot": True}}},
    fills_window_ms=30 * DAY_MS,
    refused=_codes(
        """
        400 401 602 10007 10072 10101 30001 30002 30003 30004 30005 30010 30014 30016 30018
        30019 30020 30021 30025 30026 30027 30028 30032 700001 700002 700003 700004 700005
        700006 700007 730001 730002
        """
    ),
    gone=_codes(
        """
        -2011 30041
        """
    ),
    absent=_codes(
        """
        -2013 -2011
        """
    ),
)

QUIRKS: Mapping[str, Quirks] = {one.code: one for one in (_BYBIT, _BINANCE, _OKX, _KUCOIN, _MEXC)}
