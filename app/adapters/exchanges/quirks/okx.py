"""OKX spot."""

from decimal import Decimal

from app.adapters.exchanges.quirks.kinds import DAY_MS, Lane, Limits, Quirks, Rate, actions

OKX = Quirks(
    code="okx",
    name="OKX",
    maker_fee=Decimal("0.0008"),
    taker_fee=Decimal("0.001"),
    has_testnet=True,
    needs_passphrase=True,
    fee_in_received_asset=True,
    key_page="https://www.okx.com/account/my-api",
    options={"defaultType": "spot", "brokerId": "", "fetchMarkets": {"types": ["spot"]}},
    limits=Limits(
        # It limits each of its addresses for itself, 60 in 2 s for orders of an account.
        address=Rate(200, 2),
        account={Lane.CANCEL: Rate(50, 2), Lane.PLACE: Rate(50, 2), Lane.READ: Rate(18, 2)},
    ),
    client_id_pattern="[A-Za-z0-9]+",
    max_open_orders=500,
    order_params={"tdMode": "cash"},
    market_order_params={"tgtCcy": "base_ccy"},
    envelope=frozenset({"code", "data"}),
    open_orders_page=100,
    page_param="after",
    all_open_orders=True,
    all_fills=True,
    symbol_field="instId",
    fills_window_ms=80 * DAY_MS,
    fills_mark=("after", "billId"),
    fills_by_order_id="ordId",
    fill_client_id="clOrdId",
    partner_param="tag",
    actions=actions(
        backoff="50011 50013 50061 51149",
        unknown="50000 50001 50004 50026 50005 50009 51054 51290",
        fix="""
            51000 51001 51002 51003 51004 51005 51006 51007 51010 51011 51012 51020 51021 51022
            51023 51024 51028 51120 51121 51132 51133 51136 51137 51138 51143 51155 51156 51159
            51162 50012 50014
        """,
        funds="51008 51119 51127 51131",
        gone="51400 51401 51402 51405 51410 51603",
        duplicate="51016",
        stop="""
            50100 50101 50103 50104 50105 50106 50107 50108 50109 50110 50111 50113 50114 50119
            50120
        """,
        clock="50102 50112",
    ),
    misfits=frozenset({"51001", "51020", "51021", "51022", "51028", "51120", "51121"}),
    absent=frozenset({"51603"}),
    address_limits={"403": 60, "429": 2},
    account_limits={"50011": 2, "50061": 2},
)
