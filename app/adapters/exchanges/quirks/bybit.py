"""Bybit v5: spot and linear contracts of a unified account."""

from decimal import Decimal

from app.adapters.exchanges.quirks.kinds import (
    Lane,
    Limits,
    Quirks,
    Rate,
    Scope,
    UsedHeader,
    actions,
)
from app.trading.market import MarketKind
from app.trading.order_queues import DELEVERAGING, LIQUIDATION

BYBIT = Quirks(
    code="bybit",
    name="Bybit",
    maker_fee=Decimal("0.001"),
    taker_fee=Decimal("0.001"),
    has_testnet=True,
    needs_passphrase=False,
    fee_in_received_asset=True,
    key_page="https://www.bybit.com/app/user/api-management",
    kinds=frozenset({MarketKind.SPOT, MarketKind.LINEAR}),
    contract_fees=(Decimal("0.0002"), Decimal("0.00055")),
    ticker_funding=("fundingRate", "nextFundingTime"),
    options={
        "defaultType": "spot",
        "fetchMarkets": {"types": ["spot", "linear"]},
        # Spares two private calls for every new client; all accounts are unified by now.
        "enableUnifiedMargin": False,
        "enableUnifiedAccount": True,
        "unifiedMarginStatus": 6,
        "recvWindow": 5000,
    },
    limits=Limits(
        # 600 in 5 s for an address; the lanes are the documented ones of a unified account.
        address=Rate(500, 5),
        account={Lane.CANCEL: Rate(10, 1), Lane.PLACE: Rate(10, 1), Lane.READ: Rate(40, 1)},
        used=(UsedHeader("x-bapi-limit-status", Scope.ACCOUNT, tells_left=True),),
        reset_at_header="x-bapi-limit-reset-timestamp",
    ),
    client_id_length=36,
    max_open_orders=500,
    market_order_params={"marketUnit": "baseCoin"},
    cancel_id_param="orderLinkId",
    find_in_lists_by="orderLinkId",
    envelope=frozenset({"retCode", "result"}),
    open_orders_page=50,
    page_param="cursor",
    page_field="nextPageCursor",
    all_open_orders=True,
    all_fills=True,
    fills_mark=("cursor", "nextPageCursor"),
    kind_params={
        MarketKind.SPOT: {"type": "spot"},
        MarketKind.LINEAR: {"type": "swap", "subType": "linear"},
    },
    has_stops=True,
    contract_stop_params={
        "sell": {"triggerDirection": "descending", "reduceOnly": True},
        "buy": {"triggerDirection": "ascending", "reduceOnly": True},
    },
    stop_cancel_params={"trigger": True},
    closing_params={"reduceOnly": True},
    contract_fills_params={"execType": None},
    fill_kinds=(
        "execType",
        {"Trade": "", "BustTrade": LIQUIDATION, "AdlTrade": DELEVERAGING},
    ),
    fills_by_client_id="orderLinkId",
    fill_client_id="orderLinkId",
    # The library guesses it by the side, so a fee in MNT would count as one in the coins bought.
    fill_fee_currency="feeCurrency",
    # Only for customers in India, Indonesia, the EU and the UAE; empty for all others.
    fill_taxes=("extraFees", "feeCoin", "fee"),
    margin_mode=("privateGetV5AccountInfo", "marginMode", "ISOLATED_MARGIN"),
    positions_params={"type": "swap", "subType": "linear"},
    settle_coins=("USDT", "USDC"),
    funding_params={"execType": "Funding"},
    partner_header="Referer",
    # What each code means and asks for: the exchange's own page on errors.
    actions=actions(
        backoff="403 10018 170222",
        unknown="""
            429 10000 10006 10016 10019 10429 20003 20006 170001 170005 170007 170032 170144
            170147 170150 170191 170146 170149
        """,
        fix="""
            10001 10017 110003 110009 110020 110061 110024 110028 110094 12137 170137 170134
            170148 170121 170115 170116 170117 170130 170124 170135 170197 170198 170132 170133
            170192 170193 170194 170371 170372 170136 170140 170210 170217 170218
        """,
        funds="""
            110004 110006 110007 110012 110014 110044 110045 110051 110052 110053 110040 110041
            110046 170033 170131
        """,
        gone="110001 110008 110010 110017 110064 170139 170142 170143 170190 170213 175007",
        duplicate="10014 110030 110072 12141 170141",
        stop="""
            -2015 33004 10003 10004 10005 10007 10008 10009 10010 10024 10027 10028 10029 100028
            170201 170209 170241
        """,
        noop="110025 110026 110027 110043",
        venue="110021 110022 110023 110042 110063 110066 110074 170151 170157 170159 170031 170224",
        clock="-1 10002",
    ),
    # Reduce-only was not satisfied: the position is smaller than we think, nothing was placed.
    refused_when_placing=frozenset({"110017"}),
    misfits=frozenset(
        {
            *("110023", "110074", "110094", "12137", "170121", "170124", "170134", "170135"),
            *("170136", "170137", "170140", "170148", "170151", "170157"),
        }
    ),
    absent=frozenset({"110001", "170213", "175007"}),
    address_limits={"403": 600, "429": 5, "10018": 10},
    account_limits={"10006": 1, "10429": 1, "170222": 1, "20003": 1},
)
