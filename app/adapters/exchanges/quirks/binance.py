"""Binance spot."""

from decimal import Decimal

from app.adapters.exchanges.quirks.kinds import (
    DAY_MS,
    Action,
    Lane,
    Limits,
    Quirks,
    Rate,
    Scope,
    UsedHeader,
    actions,
)

BINANCE = Quirks(
    code="binance",
    balance_account="uid",
    name="Binance",
    maker_fee=Decimal("0.001"),
    taker_fee=Decimal("0.001"),
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
    limits=Limits(
        # 6,000 of weight in a minute for an address, 50 orders in 10 s for an account.
        address=Rate(5000, 60),
        account={Lane.CANCEL: Rate(50, 10), Lane.PLACE: Rate(40, 10), Lane.READ: Rate(100, 10)},
        weighted=True,
        used=(
            UsedHeader("x-mbx-used-weight-1m", Scope.ADDRESS),
            UsedHeader("x-mbx-order-count-10s", Scope.ACCOUNT, lane=Lane.PLACE),
        ),
    ),
    client_id_length=36,
    max_open_orders=200,
    # It may "forget" an order on some of its addresses for up to half an hour.
    absence_grace_s=1800,
    all_open_orders=True,
    has_stops=True,
    fills_page=1000,
    fills_window_ms=DAY_MS,
    fills_by_order_id="orderId",
    orders_list=("fetch_orders", 1000, {}),
    actions=actions(
        backoff="-1003 -1008 -1015",
        unknown="-1000 -1001 -1006 -1007 -1016 -1034",
        fix="""
            -1002 -1013 -1014 -1100 -1101 -1102 -1103 -1104 -1105 -1106 -1111 -1112 -1114 -1115
            -1116 -1117 -1121 -1128 -1130 -1131 -2010
        """,
        gone="-2011 -2013",
        stop="-1022 -2014 -2015",
        clock="-1021",
    ),
    # One code for every refused order.
    words={
        "insufficient balance": Action.FUNDS,
        "market is closed": Action.VENUE,
        "trading is disabled": Action.VENUE,
        "this action is disabled": Action.STOP,
    },
    partner_prefix="x-",
    misfits=frozenset({"-1013", "-1111", "-1121"}),
    absent=frozenset({"-2013"}),
    address_limits={"418": 120, "429": 60, "-1003": 60, "-1008": 5, "403": 300},
    account_limits={"-1015": 10},
)
