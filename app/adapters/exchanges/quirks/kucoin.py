"""KuCoin spot, its trading account for frequent orders."""

from decimal import Decimal

from app.adapters.exchanges.quirks.kinds import (
    Action,
    Lane,
    Limits,
    Quirks,
    Rate,
    Scope,
    UsedHeader,
    actions,
)

KUCOIN = Quirks(
    code="kucoin",
    name="KuCoin",
    maker_fee=Decimal("0.001"),
    taker_fee=Decimal("0.001"),
    has_testnet=False,
    needs_passphrase=True,
    fee_in_received_asset=False,
    key_page="https://www.kucoin.com/account/api",
    options={
        "defaultType": "spot",
        "partner": {"spot": {"id": None, "key": None}, "future": {"id": None, "key": None}},
        # Without it every new client asks once more which kind of account this is.
        "uta": False,
        "hf": True,
        "fetchMarkets": {"types": ["spot"], "fetchTickersFees": False},
    },
    limits=Limits(
        # Weights in 30 s: 2,000 for public calls of an address, 4,000 of spot for an account.
        address=Rate(1800, 30),
        account={Lane.CANCEL: Rate(1500, 30), Lane.PLACE: Rate(1300, 30), Lane.READ: Rate(400, 30)},
        used=(UsedHeader("gw-ratelimit-remaining", Scope.ACCOUNT, tells_left=True),),
        reset_in_header="gw-ratelimit-reset",
    ),
    client_id_length=40,
    max_open_orders=200,
    smallest_book=20,
    envelope=frozenset({"code"}),
    fills_mark=("lastId", "id"),
    fills_by_order_id="orderId",
    orders_list=("fetch_closed_orders", 100, {"limit": 100}),
    actions=actions(
        backoff="429000 1015 200002",
        unknown="500000 230003 240002",
        fix="""
            200005 300000 400100 400200 400350 400370 400400 400500 400600 411100 415000 900001
            900003
        """,
        funds="200004",
        gone="400300",
        stop="400001 400003 400004 400005 400006 400007",
        clock="400002",
    ),
    # Its code 400100 stands for many complaints.
    words={
        "order_not_exist": Action.GONE,
        "order not exist": Action.GONE,
        "balance insufficient": Action.FUNDS,
    },
    misfits=frozenset({"400100", "900001"}),
    absent=frozenset({"400300"}),
    address_limits={"1015": 30, "403": 60},
    account_limits={"429000": 10, "200002": 3},
)
