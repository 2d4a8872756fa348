import pytest

from app.errors import LimitReached
from app.events import publish
from app.exchanges.events import AccountConnecting
from app.subscriptions import rights, service
from app.transactions import transaction
from tests.factories import make_account, make_user


def test_an_account_beyond_the_plans_limit_is_refused(database: None) -> None:
    with transaction():
        service.seed_plans()
        user = make_user()
        make_account(user)
        publish(AccountConnecting(user.id, "paper"))
        make_account(user)
    with pytest.raises(LimitReached, match="exchange_limit"), transaction():
        publish(AccountConnecting(user.id, "paper"))
    with transaction():
        rights.give_plan(None, user.id, "pro", None, "paid")
        publish(AccountConnecting(user.id, "live"))
