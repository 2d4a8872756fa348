"""MEXC spot."""

from decimal import Decimal

from app.adapters.exchanges.quirks.kinds import DAY_MS, Lane, Limits, Quirks, Rate, actions

MEXC = Quirks(
    code="mexc",
    name="MEXC",
    maker_fee=Decimal("0"),
    taker_fee=Decimal("0.0005"),
    has_testnet=False,
    needs_passphrase=False,
    fee_in_received_asset=False,
    key_page="https://www.mexc.com/user/openapi",
    options={
        "defaultType": "spot",
        "fetchMarkets": {"types": {"spot": True}},
        "recvWindow": 5000,
    },
    limits=Limits(
        # 500 of weight in 10 s for an address and for an account.
        address=Rate(400, 10),
        account={Lane.CANCEL: Rate(50, 10), Lane.PLACE: Rate(40, 10), Lane.READ: Rate(40, 10)},
        weighted=True,
    ),
    max_open_orders=500,
    fills_window_ms=30 * DAY_MS,
    fills_by_order_id="orderId",
    orders_list=("fetch_orders", 1000, {}),
    partner_header="source",
    actions=actions(
        backoff="429 510",
        unknown="500 503 504 -1000 -1001",
        fix="""
            400 10007 10101 30001 30002 30003 30010 30014 30018 30020 30025 30026 30027 30028
            30029 30032 700004
        """,
        funds="30004 30005",
        gone="-2011 -2013 30041",
        stop="401 402 602 10072 700001 700002 700005 700006 700007 730001 730002",
        venue="30016 30019 30021",
        clock="700003",
    ),
    misfits=frozenset({"10007", "30002", "30003", "30014", "30016"}),
    absent=frozenset({"-2013", "-2011"}),
    address_limits={"429": 10, "403": 300, "510": 10},
)
