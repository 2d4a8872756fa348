"""The steps of a key check."""

from typing import Any

import pytest
import requests

from app.adapters.exchanges.check import KeyCheck, KeyPolicy, StepName, StepState, check_keys
from app.adapters.exchanges.client import make_client
from app.adapters.exchanges.quirks import QUIRKS
from tests.adapters.exchanges.canned import KEYS, NOW_MS, TIMES, Request, connect
from tests.adapters.exchanges.test_reading import BALANCES

NAMES = sorted(QUIRKS)

TIME_PATHS = ("/time", "/timestamp")
RIGHTS_PATHS = {
    "bybit": "/v5/user/query-api",
    "binance": "/sapi/v1/account/apiRestrictions",
    "okx": "/api/v5/account/config",
    "kucoin": "/api/v1/user/api-key",
    "mexc": "/api/v3/account",
}


def rights(name: str, *, trade: bool = True, withdraw: bool = False, bound: bool = True) -> Any:
    """Return what the exchange says of a key."""
    if name == "bybit":
        wallet = ["AccountTransfer", "Withdraw"] if withdraw else ["AccountTransfer"]
        permissions = {"Spot": ["SpotTrade"] if trade else [], "Wallet": wallet}
        ips = ["203.0.113.7"] if bound else ["*"]
        return {"retCode": 0, "result": {"readOnly": 0, "permissions": permissions, "ips": ips}}
    if name == "binance":
        return {
            "enableReading": True, "enableSpotAndMarginTrading": trade,
            "enableWithdrawals": withdraw, "ipRestrict": bound,
        }  # fmt: skip
    if name == "okx":
        allowed = ["read_only", *(["trade"] if trade else []), *(["withdraw"] if withdraw else [])]
        told = {"perm": ",".join(allowed), "ip": "203.0.113.7" if bound else ""}
        return {"code": "0", "data": [told]}
    if name == "kucoin":
        allowed = ["General", *(["Spot"] if trade else []), *(["Withdrawal"] if withdraw else [])]
        told = {"permission": ",".join(allowed), "ipWhitelist": "203.0.113.7" if bound else ""}
        return {"code": "200000", "data": told}
    return {**BALANCES["mexc"], "canTrade": trade, "canWithdraw": True}


def check(
    name: str, told: Any, *, time: Any = None, balance: Any = None, testnet: bool = False
) -> KeyCheck:
    """Check keys at an exchange that answers as given."""

    def answer(request: Request) -> Any:
        if request.path.endswith(TIME_PATHS):
            return time if time is not None else TIMES[name]
        if request.path == RIGHTS_PATHS[name] and not (name == "mexc" and balance and asked):
            asked.append(request)
            return told
        return balance or BALANCES[name]

    asked: list[Request] = []
    client = make_client(name, KEYS, testnet=testnet)
    connect(client, answer)
    return check_keys(name, KEYS, testnet=testnet, client=client, now_ms=lambda: NOW_MS)


def states(found: KeyCheck) -> dict[str, tuple[str, str]]:
    return {step.name.value: (step.state.value, step.code) for step in found.steps}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mexc"])
def test_good_key_passes_every_step(name: str) -> None:
    found = check(name, rights(name))
    assert found.passed
    assert [step.name for step in found.steps] == list(StepName)
    assert {step.state for step in found.steps} == {StepState.OK}
    assert found.balances.keys() == {"USDT"}
    assert (found.rights.trade, found.rights.withdraw) == (True, False)


@pytest.mark.parametrize("name", NAMES)
def test_account_of_a_key_is_read_where_it_is_told(name: str) -> None:
    told, balance = rights(name), BALANCES[name]
    assert check(name, told).rights.account is None
    if name == "bybit":
        told["result"]["userID"] = 4711
    elif name == "binance":
        balance = {**balance, "uid": 4711}
    elif name in {"okx", "kucoin"}:
        part = told["data"][0] if name == "okx" else told["data"]
        part["uid"] = 4711
    found = check(name, told, balance=balance).rights.account
    assert found == {"mexc": None, "kucoin": "4711/"}.get(name, "4711")


def test_exchange_that_does_not_tell_rights_passes_with_a_note() -> None:
    found = check("mexc", rights("mexc"))
    assert found.passed
    assert states(found)["rights"] == ("warning", "rights_not_told")
    assert states(found)["address"] == ("warning", "address_not_told")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mexc"])
def test_key_that_can_withdraw_is_refused(name: str) -> None:
    found = check(name, rights(name, withdraw=True))
    assert not found.passed
    assert found.failure is not None
    assert found.failure.code == "key_can_withdraw"
    assert states(found)["balance"] == ("skipped", "not_checked")


@pytest.mark.parametrize("name", NAMES)
def test_key_that_can_not_trade_is_refused(name: str) -> None:
    found = check(name, rights(name, trade=False))
    assert found.failure is not None
    assert found.failure.code == "key_can_not_trade"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mexc"])
def test_key_that_works_from_any_address_passes_with_a_note(name: str) -> None:
    found = check(name, rights(name, bound=False))
    assert found.passed
    assert states(found)["address"] == ("warning", "address_open")


REFUSALS: dict[str, Any] = {
    "bybit": {"retCode": 10003, "retMsg": "API key is invalid."},
    "binance": (401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}),
    "okx": (401, {"code": "50113", "msg": "Invalid Sign", "data": []}),
    "kucoin": (400, {"code": "400003", "msg": "KC-API-KEY not exists"}),
    "mexc": (400, {"code": 700002, "msg": "Signature for this request is not valid."}),
}


@pytest.mark.parametrize("name", NAMES)
def test_wrong_secret_is_told_as_a_refused_key(name: str) -> None:
    found = check(name, REFUSALS[name])
    assert found.failure is not None
    assert (found.failure.name, found.failure.code) == (StepName.KEY, "key_refused")
    assert states(found)["reached"] == ("ok", "exchange_reached")
    assert {states(found)[step][0] for step in ("rights", "address", "balance")} == {"skipped"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "answer", [requests.ConnectTimeout("slow"), requests.ConnectionError("down"), (502, "<html>")]
)
def test_exchange_that_is_away_fails_the_first_step(name: str, answer: Any) -> None:
    found = check(name, rights(name), time=answer)
    assert found.failure is not None
    assert found.failure.name is StepName.REACHED
    assert [step.state for step in found.steps[1:]] == [StepState.SKIPPED] * 5


@pytest.mark.parametrize(
    ("difference", "state"), [(0, "ok"), (400, "ok"), (600, "warning"), (6000, "failed")]
)
def test_clock_that_differs_is_noted_and_then_refused(difference: int, state: str) -> None:
    found = check("binance", rights("binance"), time={"serverTime": NOW_MS + difference})
    assert states(found)["clock"][0] == state
    assert found.passed is (state != "failed")


def test_balance_that_can_not_be_read_fails_the_last_step() -> None:
    found = check("binance", rights("binance"), balance=(500, "oops"))
    assert found.failure is not None
    assert found.failure.name is StepName.BALANCE


@pytest.mark.parametrize("name", NAMES)
def test_empty_account_is_fine(name: str) -> None:
    empty = {
        "bybit": {"retCode": 0, "result": {"list": [{"accountType": "UNIFIED", "coin": []}]}},
        "binance": {"balances": []},
        "okx": {"code": "0", "data": [{"details": []}]},
        "kucoin": {"code": "200000", "data": []},
        "mexc": {"balances": []},
    }
    found = check(name, rights(name), balance=empty[name])
    assert found.passed
    assert found.balances == {}


@pytest.mark.parametrize("told", [{}, {"retCode": 0}, {"retCode": 0, "result": None}, "<html>", []])
def test_garbled_answer_fails_its_step_and_raises_nothing(told: Any) -> None:
    found = check("bybit", told)
    assert found.failure is not None
    assert found.failure.name is StepName.KEY


def test_binance_test_site_proves_the_key_without_its_rights() -> None:
    def answer(request: Request) -> Any:
        assert "testnet" in request.url
        assert "sapi" not in request.url
        return TIMES["binance"] if request.path.endswith("/time") else BALANCES["binance"]

    client = make_client("binance", KEYS, testnet=True)
    connect(client, answer)
    found = check_keys("binance", KEYS, testnet=True, client=client, now_ms=lambda: NOW_MS)
    assert found.passed
    assert found.rights.withdraw is None


def check_under(policy: KeyPolicy, told: Any) -> KeyCheck:
    client = make_client("binance", KEYS)
    connect(
        client,
        lambda request: (
            TIMES["binance"]
            if request.path.endswith("/time")
            else told
            if request.path == RIGHTS_PATHS["binance"]
            else BALANCES["binance"]
        ),
    )
    return check_keys("binance", KEYS, policy=policy, client=client, now_ms=lambda: NOW_MS)


def test_key_that_can_withdraw_passes_with_a_warning_where_staff_allow_it() -> None:
    found = check_under(KeyPolicy(may_withdraw=True), rights("binance", withdraw=True))
    assert found.passed
    assert states(found)["rights"] == ("warning", "key_can_withdraw_allowed")
    assert found.rights.withdraw is True


def test_key_that_works_from_any_address_is_refused_where_staff_want_it_bound() -> None:
    policy = KeyPolicy(needs_address=True)
    found = check_under(policy, rights("binance", bound=False))
    assert found.failure is not None
    assert (found.failure.name, found.failure.code) == (StepName.ADDRESS, "address_required")
    assert check_under(policy, rights("binance", bound=True)).passed


@pytest.mark.parametrize(
    ("allowed", "read_only", "may"),
    [
        (["Order", "Position"], 0, True),
        (["Order"], 0, False),
        ([], 0, False),
        (None, 0, False),
        (["Order", "Position"], 1, False),
    ],
)
def test_bybit_says_whether_a_key_may_trade_contracts(
    allowed: list[str] | None, read_only: int, may: bool
) -> None:
    told = rights("bybit")
    told["result"]["permissions"]["ContractTrade"] = allowed
    told["result"]["readOnly"] = read_only
    assert check("bybit", told).rights.contracts is may
