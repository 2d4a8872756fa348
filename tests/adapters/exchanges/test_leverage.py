"""Settings of contracts: leverage, isolated margin, one position; and accounts to be left alone."""

from decimal import Decimal
from typing import Any

import pytest

from app.adapters.exchanges.errors import AccountUnfitError, ExchangeError
from app.trading.orders import Order, OrderKey, OrderKind, Purpose, Side, Status
from tests.adapters.exchanges.canned import Request, exchange
from tests.adapters.exchanges.test_looking import two_kinds as account

CONTRACT = "BTC/USDT:USDT"
OK: dict[str, Any] = {"retCode": 0, "result": {}}


def row(index: int = 0, size: str = "0", side: str = "", leverage: str = "10") -> dict[str, Any]:
    return {
        "positionIdx": index, "symbol": "BTCUSDT", "side": side, "size": size, "avgPrice": "0",
        "positionValue": "0", "leverage": leverage, "liqPrice": "", "unrealisedPnl": "0",
    }  # fmt: skip


class Site:
    """What the exchange says of the account's settings; changes that come are written down."""

    def __init__(
        self,
        *rows: dict[str, Any],
        mode: str = "ISOLATED_MARGIN",
        others: tuple[dict[str, Any], ...] = (),
        **refusals: Any,
    ) -> None:
        self.rows, self.mode, self.others, self.refusals = rows, mode, others, refusals
        self.changes: list[tuple[str, Any]] = []

    def __call__(self, request: Request) -> Any:
        if request.method == "POST":
            name = request.path.rsplit("/", 1)[-1]
            self.changes.append((name, request.json))
            return self.refusals.get(name.replace("-", "_"), OK)
        if request.path.endswith("/account/info"):
            return {"retCode": 0, "result": {"marginMode": self.mode, "unifiedMarginStatus": 6}}
        rows = self.rows if "symbol" in request.query else (*self.rows, *self.others)
        coin = request.query.get("settleCoin", "")
        told = [
            each
            for each in rows
            if "symbol" in request.query
            or (each["size"] != "0" and each["symbol"].endswith(coin.replace("USDC", "PERP")))
        ]
        return {"retCode": 0, "result": {"list": told, "category": "linear"}}


def set_up(site: Site, leverage: str = "2.5") -> list[tuple[str, Any]]:
    venue, _ = account(site)
    venue.set_leverage(CONTRACT, Decimal(leverage))
    return site.changes


def test_leverage_is_set_where_it_is_another() -> None:
    ((name, sent),) = set_up(Site(row(leverage="10")))
    assert name == "set-leverage"
    assert (sent["buyLeverage"], sent["sellLeverage"], sent["category"]) == ("2.5", "2.5", "linear")


def test_what_is_right_already_is_left_alone() -> None:
    assert set_up(Site(row(leverage="2.5"))) == []


def test_leverage_that_another_call_has_set_meanwhile_is_fine() -> None:
    same = {"retCode": 110043, "retMsg": "Set leverage has not been modified."}
    assert [name for name, _ in set_up(Site(row(), set_leverage=same))] == ["set-leverage"]


def test_an_account_without_positions_gets_isolated_margin_before_anything_else() -> None:
    changes = set_up(Site(row(), mode="REGULAR_MARGIN"))
    assert [name for name, _ in changes] == ["set-margin-mode", "set-leverage"]
    assert changes[0][1]["setMarginMode"] == "ISOLATED_MARGIN"


def test_an_account_whose_loss_could_take_everything_is_not_traded_nor_changed() -> None:
    site = Site(row(), mode="REGULAR_MARGIN", others=(row(size="1", side="Buy"),))
    with pytest.raises(AccountUnfitError) as error:
        set_up(site)
    assert error.value.code == "margin_not_isolated"
    assert site.changes == []


def test_margin_that_the_exchange_does_not_isolate_is_the_owners_matter() -> None:
    refused = {"retCode": 110017, "retMsg": "spot borrowing", "result": {}}
    with pytest.raises(AccountUnfitError) as error:
        set_up(Site(row(), mode="REGULAR_MARGIN", set_margin_mode=refused))
    assert error.value.code == "margin_not_isolated"


def test_long_and_short_apart_are_put_together_while_nothing_is_held() -> None:
    changes = set_up(Site(row(1), row(2)))
    assert [name for name, _ in changes] == ["switch-mode", "set-leverage"]
    assert {key: changes[0][1][key] for key in ("mode", "symbol", "category")} == {
        "mode": 0, "symbol": "BTCUSDT", "category": "linear",
    }  # fmt: skip


@pytest.mark.parametrize(
    "site",
    [
        Site(row(1, "0.5", "Buy"), row(2)),
        Site(row(1), row(2, "0.5", "Sell")),
        # Orders of the owner stand there.
        Site(row(1), row(2), switch_mode={"retCode": 110028, "retMsg": "orders exist"}),
    ],
    ids=["long held", "short held", "orders stand"],
)
def test_long_and_short_apart_stay_so_while_something_depends_on_them(site: Site) -> None:
    with pytest.raises(AccountUnfitError) as error:
        set_up(site)
    assert error.value.code == "position_mode_hedged"
    assert "set-leverage" not in [name for name, _ in site.changes]


def test_a_mode_that_another_call_has_switched_meanwhile_is_fine() -> None:
    same = {"retCode": 110025, "retMsg": "Position mode is not modified"}
    changes = set_up(Site(row(1), row(2), switch_mode=same))
    assert [name for name, _ in changes] == ["switch-mode", "set-leverage"]


def test_leverage_that_the_exchange_does_not_take_is_an_error() -> None:
    with pytest.raises(ExchangeError):
        set_up(Site(row(), set_leverage={"retCode": 10001, "retMsg": "leverage invalid"}), "500")


def test_coins_have_no_leverage_and_nobody_is_asked() -> None:
    venue, network = account((500, "oops"))
    venue.set_leverage("BTC/USDT", Decimal(3))
    assert network.sent == []


@pytest.mark.parametrize(
    ("rows", "base"),
    [
        ((row(),), "0"),
        ((row(0, "0.5", "Buy"),), "0.5"),
        ((row(0, "0.25", "Sell"),), "-0.25"),
        ((row(1, "3", "Buy"), row(2, "1", "Sell")), "2"),
    ],
)
def test_a_position_is_coins_held_or_owed(rows: tuple[dict[str, Any], ...], base: str) -> None:
    venue, _ = account(Site(*rows))
    assert venue.position(CONTRACT) == Decimal(base)
    assert [held.base for held in venue.positions()] == [
        Decimal(each["size"]) * (-1 if each["side"] == "Sell" else 1)
        for each in rows
        if each["size"] != "0"
    ]


@pytest.mark.parametrize(
    ("purpose", "symbol", "reduces"),
    [
        (Purpose.CLOSE, CONTRACT, True),
        (Purpose.STOP, CONTRACT, True),
        (Purpose.ENTRY, CONTRACT, None),
        (Purpose.CLOSE, "BTC/USDT", None),
    ],
)
def test_what_closes_a_contract_can_not_open_another(
    purpose: Purpose, symbol: str, reduces: bool | None
) -> None:
    venue, network = account({"retCode": 0, "result": {"orderId": "7", "orderLinkId": "by1"}})
    key = OrderKey(purpose, None, Side.SELL)
    order = Order("by1", key, 0, OrderKind.MARKET, None, Decimal("0.01"), Status.INTENDED)
    venue.place(symbol, order)
    assert network.sent[-1].json.get("reduceOnly") is reduces


@pytest.mark.parametrize(
    "rows",
    [(), (row(1, "3", "Buy"),), (row(2, "1", "Sell"),), (row(), row())],
    ids=["nothing", "only the long side", "only the short side", "twice"],
)
def test_a_position_that_is_not_told_is_unknown_and_no_zero(
    rows: tuple[dict[str, Any], ...],
) -> None:
    venue, _ = account(Site(*rows))
    assert venue.position(CONTRACT) is None


@pytest.mark.parametrize(
    "answer",
    [
        {"retCode": 0, "result": {}},
        {"retCode": 0, "result": {"list": None}},
        {"retCode": 0, "result": {"list": [row(0, "1", "Buy") | {"symbol": "ETHUSDT"}]}},
    ],
    ids=["no list", "none", "another contract"],
)
def test_an_odd_list_of_positions_is_unknown(answer: dict[str, Any]) -> None:
    venue, _ = account(answer)
    assert venue.position(CONTRACT) is None


@pytest.mark.parametrize(
    "bad",
    [{"size": ""}, {"size": "many"}, {"side": "", "size": "1"}],
    ids=["empty", "words", "side"],
)
def test_a_garbled_position_is_an_error(bad: dict[str, str]) -> None:
    venue, _ = account(Site({**row(0, "1", "Buy"), **bad}))
    with pytest.raises(ExchangeError):
        venue.position(CONTRACT)


def test_all_positions_are_read_page_by_page_and_whatever_they_are_settled_in() -> None:
    def told(request: Request) -> Any:
        if request.query["settleCoin"] == "USDC":
            return page([{**row(0, "7", "Sell"), "symbol": "BTCPERP"}], "")
        if "cursor" in request.query:
            return page([row(0, "3", "Buy")], "the-end")
        return page([row(0, "1", "Buy")] * 200, "next")

    def page(rows: list[dict[str, Any]], cursor: str) -> dict[str, Any]:
        return {"retCode": 0, "result": {"list": rows, "nextPageCursor": cursor}}

    venue, network = account(told)
    held = venue.positions()
    assert (len(held), held[200].quantity, held[201].base) == (202, Decimal(3), Decimal(-7))
    assert [request.query.get("cursor") for request in network.sent] == [None, "next", None]
    assert {request.query["limit"] for request in network.sent} == {"200"}


@pytest.mark.parametrize("name", ["okx", "binance", "kucoin", "mexc"])
def test_where_only_coins_are_traded_no_position_is_known_and_nobody_is_asked(name: str) -> None:
    venue, network = exchange(name, (500, "oops"))
    assert venue.position("BTC/USDT") is None
    assert venue.positions() == ()
    assert network.sent == []
