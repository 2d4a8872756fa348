"""Leverage of contracts, and accounts on which it would be dangerous."""

from decimal import Decimal
from typing import Any

import pytest

from app.adapters.exchanges.errors import AccountUnfitError, ExchangeError
from tests.adapters.exchanges.test_looking import two_kinds as account

ISOLATED = {"retCode": 0, "result": {"marginMode": "ISOLATED_MARGIN", "unifiedMarginStatus": 6}}
SHARED = {"retCode": 0, "result": {"marginMode": "REGULAR_MARGIN", "unifiedMarginStatus": 6}}
SET = {"retCode": 0, "result": {}}
NOT_MODIFIED = {"retCode": 110043, "retMsg": "Set leverage has not been modified."}


@pytest.mark.parametrize("answer", [SET, NOT_MODIFIED], ids=["set", "as it was"])
def test_leverage_of_a_contract_is_set_and_setting_it_again_does_no_harm(answer: Any) -> None:
    venue, network = account(ISOLATED, answer)
    venue.set_leverage("BTC/USDT:USDT", Decimal("2.5"))
    sent: Any = network.sent[-1].fields
    assert (sent["buyLeverage"], sent["sellLeverage"], sent["category"]) == ("2.5", "2.5", "linear")


def test_account_whose_loss_could_take_everything_is_not_traded() -> None:
    venue, network = account(SHARED)
    with pytest.raises(AccountUnfitError) as error:
        venue.set_leverage("BTC/USDT:USDT", Decimal(3))
    assert error.value.code == "margin_not_isolated"
    assert [request.method for request in network.sent] == ["GET"]


def test_leverage_that_the_exchange_does_not_take_is_an_error() -> None:
    venue, _ = account(ISOLATED, {"retCode": 10001, "retMsg": "leverage invalid"})
    with pytest.raises(ExchangeError):
        venue.set_leverage("BTC/USDT:USDT", Decimal(500))


def test_coins_have_no_leverage_and_nobody_is_asked() -> None:
    venue, network = account((500, "oops"))
    venue.set_leverage("BTC/USDT", Decimal(3))
    assert network.sent == []
