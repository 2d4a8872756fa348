import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from app import answers, config
from app.accounts.models import User
from app.adapters.exchanges import check, errors
from app.adapters.exchanges.check import KeyCheck, Rights, Step, StepName, StepState
from app.adapters.exchanges.keys import ApiKeys
from app.adapters.exchanges.reading import Held
from app.db import db, utc_now
from app.errors import Unavailable
from app.exchanges import jobs, queries, remains, routes, service, snapshots
from app.exchanges.models import Exchange, ExchangeAccount
from app.exchanges.queries import Balances
from app.exchanges.texts import FINDINGS, STEPS
from app.queues import QueueName, queue
from app.subscriptions.service import seed_plans
from app.trading.ports import Balance
from app.transactions import transaction
from tests.answering import answering
from tests.client import Client
from tests.exchanges.test_service import PASSED, SECRETS, Checker, connected, failed, paper
from tests.factories import make_user
from tests.long import few

pytestmark = pytest.mark.usefixtures("database")

Login = Callable[[User], Client]


@pytest.fixture(autouse=True)
def _catalogue(database: None) -> None:
    with transaction():
        service.seed_exchanges()
        seed_plans()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no page wait for a worker that is not there."""
    monkeypatch.setattr(remains, "PATIENCE_S", 0.0)


@pytest.fixture
def user() -> User:
    with transaction():
        return make_user()


@pytest.fixture
def customer(user: User, login_as: Login) -> Client:
    return login_as(user)


def keys_form(**values: str) -> dict[str, str]:
    key, secret, passphrase = SECRETS
    return {"label": "Main", "key": key, "secret": secret, "passphrase": passphrase, **values}


def use(monkeypatch: pytest.MonkeyPatch, found: KeyCheck) -> Checker:
    """Let the exchange answer so."""
    checker = Checker(found)
    monkeypatch.setattr(service.check_new_keys, "__defaults__", (checker,))
    monkeypatch.setattr(service.check_again, "__defaults__", (checker,))
    return checker


def test_visitor_is_asked_to_log_in(client: Client) -> None:
    for path in ("/exchanges", "/exchanges/new", "/exchanges/1"):
        assert client.get(path).status_code == 302


def test_list_shows_accounts_and_the_catalogue(customer: Client, user: User) -> None:
    paper(user, "My <b>paper</b>")
    page = customer.get("/exchanges").text
    assert "My &lt;b&gt;paper&lt;/b&gt;" in page
    for name in ("Bybit", "Binance", "OKX", "KuCoin", "MEXC", "Paper"):
        assert name in page


def test_choice_leaves_out_what_staff_switched_off(customer: Client) -> None:
    with transaction():
        db.session.execute(update(Exchange).where(Exchange.code == "okx").values(enabled=False))
    page = customer.get("/exchanges/new").text
    assert "exchange=bybit" in page
    assert "exchange=okx" not in page
    assert customer.get("/exchanges/new?exchange=okx").status_code == 404
    assert customer.get("/exchanges/new?exchange=nothing").status_code == 404


def test_paper_account_is_opened_and_shows_its_money(customer: Client, user: User) -> None:
    form = {"label": "First", "exchange": "bybit", "balance": "2,500.50"}
    answer = customer.post_form("/exchanges/new?exchange=paper", form)
    (account,) = queries.accounts_of(user.id)
    assert answer.status_code == 303
    assert answer.location.endswith(f"/exchanges/{account.id}")
    page = customer.get(answer.location).text
    assert "2,500.5" in page
    assert "As of" in page
    assert "Bybit" in page


def test_second_click_makes_no_second_account_and_says_why(customer: Client, user: User) -> None:
    form = {"label": "First", "exchange": "bybit", "balance": "1000"}
    customer.post_form("/exchanges/new?exchange=paper", form)
    answer = customer.post_form("/exchanges/new?exchange=paper", form)
    assert answer.status_code == 422
    assert "already" in answer.text
    assert len(queries.accounts_of(user.id)) == 1


ABSURD: list[dict[str, str]] = [
    {"label": "", "balance": ""},
    {"label": "a\x00b", "balance": "1000"},
    {"label": "🚀" * 61, "balance": "1000"},
    {"label": "ok", "balance": "NaN"},
    {"label": "ok", "balance": "-1"},
    {"label": "ok", "balance": "9" * 400},
    {"label": "ok", "balance": "1e9"},
    {"label": "ok", "balance": "1000", "exchange": "paper"},
    {"label": "ok", "balance": "1000", "exchange": "' or 1=1 --"},
    {"label": "x" * 100_000, "balance": "1000"},
]


@pytest.mark.parametrize("values", few(ABSURD, 3))
def test_absurd_input_is_answered_with_the_form(
    customer: Client, user: User, values: dict[str, str]
) -> None:
    form = {"exchange": "bybit", **values}
    assert customer.post_form("/exchanges/new?exchange=paper", form).status_code == 422
    assert queries.accounts_of(user.id) == []


@pytest.mark.parametrize(
    ("exchange", "passphrase", "testnet"),
    [("bybit", False, True), ("binance", False, True), ("okx", True, True),
     ("kucoin", True, False), ("mexc", False, False)],
)  # fmt: skip
def test_each_exchange_asks_for_its_own_fields(
    customer: Client, exchange: str, passphrase: bool, testnet: bool
) -> None:
    page = customer.get(f"/exchanges/new?exchange={exchange}").text
    assert ('name="passphrase"' in page) is passphrase
    assert ('name="testnet"' in page) is testnet
    assert 'name="secret"' in page
    assert "Withdrawal" in page


def test_good_keys_are_connected_and_never_shown_again(
    customer: Client, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, PASSED)
    answer = customer.post_form("/exchanges/new?exchange=okx", keys_form(testnet="y"))
    assert answer.status_code == 303
    (account,) = queries.accounts_of(user.id)
    for path in ("/exchanges", f"/exchanges/{account.id}", f"/exchanges/{account.id}/delete"):
        page = customer.get(path).text
        assert all(secret not in page for secret in SECRETS)
    assert "1234" in customer.get("/exchanges").text
    assert "TESTNET" in customer.get(f"/exchanges/{account.id}").text


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("key_can_withdraw", "allowed to withdraw money"),
        ("key_refused", "did not accept this key"),
        ("exchange_unreachable", "does not answer"),
    ],
)
def test_failed_check_shows_its_steps_keeps_the_form_and_saves_nothing(
    customer: Client, user: User, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    use(monkeypatch, failed(code))
    answer = customer.post_form("/exchanges/new?exchange=okx", keys_form())
    assert answer.status_code == 422
    assert words in answer.text
    assert "Not checked" in answer.text
    assert 'value="Main"' in answer.text
    assert SECRETS[1] not in answer.text
    assert SECRETS[2] not in answer.text
    assert queries.accounts_of(user.id) == []


def test_every_code_of_a_check_has_a_sentence() -> None:
    code = r'"((?:exchange|clock|key|rights|address|balance|not)_[a-z_]+)"'
    codes = set(re.findall(code, Path(check.__file__).read_text()))
    codes |= set(re.findall(r'Unavailable\("([a-z_]+)"', Path(errors.__file__).read_text()))
    # The name of a value, not a code.
    assert codes - {"exchange_code"} <= set(FINDINGS)
    assert {name.value for name in StepName} == set(STEPS)


def test_unconfirmed_person_is_told_to_confirm_first(
    login_as: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, PASSED)
    with transaction():
        person = make_user(confirmed=False)
    client = login_as(person)
    for answer, status in (
        (client.get("/exchanges/new?exchange=okx"), 200),
        (client.post_form("/exchanges/new?exchange=okx", keys_form()), 403),
    ):
        assert answer.status_code == status
        assert "Confirm your account first" in answer.text
        assert 'href="/confirm"' in answer.text
    assert 'href="/confirm"' in client.get("/exchanges/new").text
    assert queries.accounts_of(person.id) == []


def test_rename_switch_and_delete(customer: Client, user: User) -> None:
    account = paper(user)
    path = f"/exchanges/{account.id}"
    assert customer.post_form(f"{path}/rename", {"label": "Better"}).status_code == 303
    assert "Better" in customer.get("/exchanges").text
    for _ in range(2):
        assert customer.post_form(f"{path}/toggle", {"active": "0"}).status_code == 303
    assert not queries.account_of(user.id, account.id).active
    assert customer.post_form(f"{path}/toggle", {"active": "1"}).status_code == 303
    assert "Delete" in customer.get(f"{path}/delete").text
    assert customer.post_form(f"{path}/delete").status_code == 303
    assert customer.get(path).status_code == 404


def test_taken_name_is_refused_at_the_field(customer: Client, user: User) -> None:
    paper(user, "One")
    second = paper(user, "Two")
    answer = customer.post_form(f"/exchanges/{second.id}/rename", {"label": "one"})
    assert answer.status_code == 422
    assert "already" in answer.text


def test_check_again_shows_steps_and_the_error_stays_on_the_page(
    customer: Client, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = connected(user)
    use(monkeypatch, failed("key_can_withdraw"))
    answer = customer.post_form(f"/exchanges/{account.id}/recheck")
    assert answer.status_code == 200
    assert "allowed to withdraw" in answer.text
    assert "allowed to withdraw" in customer.get(f"/exchanges/{account.id}").text
    use(monkeypatch, PASSED)
    customer.post_form(f"/exchanges/{account.id}/recheck")
    assert "allowed to withdraw" not in customer.get(f"/exchanges/{account.id}").text


def test_money_of_a_real_account_is_asked_by_a_worker_and_shown_with_its_age(
    customer: Client, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = connected(user)
    path = f"/exchanges/{account.id}"
    page = customer.get(path).text
    assert f'hx-get="{path}/balances" hx-trigger="account:{account.id} from:body' in page
    assert "Asking the exchange" in page
    customer.get(path)
    (job,) = queue(QueueName.ACCOUNTS).jobs
    assert job.args == [user.id, account.id]
    money = {"USDT": Balance(Decimal("12.5"), Decimal(0))}
    monkeypatch.setattr(service, "read_balances", lambda door: Balances(money, utc_now()))
    job.perform()
    job.delete()
    page = customer.get(f"{path}/balances").text
    assert "12.5" in page and "As of" in page and "Asking" not in page
    assert queue(QueueName.ACCOUNTS).count == 0


def test_old_money_stays_with_the_reason_why_there_is_no_newer(
    customer: Client, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = connected(user)

    def away(door: service.Door) -> Any:
        raise Unavailable("exchange_unreachable", exchange="okx")

    money = {"USDT": Balance(Decimal("12.5"), Decimal(0))}
    snapshots.keep(account.id, Balances(money, utc_now()))
    monkeypatch.setattr(service, "read_balances", away)
    jobs.read_balances(user.id, account.id)
    page = customer.get(f"/exchanges/{account.id}/balances")
    assert page.status_code == 200
    assert "OKX does not answer" in page.text
    assert "12.5" in page.text


def test_a_key_that_does_not_open_is_told_and_no_error_of_the_worker(
    customer: Client, user: User
) -> None:
    account = connected(user)
    with transaction():
        moved = "v1:owner:AAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        db.session.get_one(ExchangeAccount, account.id).sealed_key = moved
    jobs.read_balances(user.id, account.id)
    page = customer.get(f"/exchanges/{account.id}/balances").text
    assert "can&#39;t be opened here" in page
    recheck = customer.post_form(f"/exchanges/{account.id}/recheck", follow_redirects=True)
    assert recheck.status_code == 200
    assert (
        recheck.text.count("can&#39;t be opened here") == page.count("can&#39;t be opened here") + 1
    )


def test_who_decides_waits_for_a_worker_and_gets_its_answer(
    app: Flask, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = connected(user)
    found = Balances(
        {"USDT": Balance(Decimal("0.1"), Decimal("0.000000000000000001"))},
        utc_now(),
        [Held("A/USDT:USDT", "short", Decimal(2), Decimal(100), None, None, hedged=True)],
        False,
    )
    db.session.commit()
    monkeypatch.setattr(service, "read_balances", lambda door: found)
    with answering(app):
        assert snapshots.held_now(user.id, account.id) == found
        # A moment later the same answer is new enough.
        assert snapshots.held_now(user.id, account.id, 0.0) == found


def test_without_a_worker_the_wait_ends(user: User) -> None:
    account = connected(user)
    with pytest.raises(Unavailable, match="nobody_answers"):
        snapshots.held_now(user.id, account.id, 0.2)


def test_what_was_read_of_an_account_goes_with_it(user: User) -> None:
    account = connected(user)
    snapshots.keep(account.id, Balances({}, utc_now()))
    with transaction():
        service.delete(user.id, account.id)
    assert answers.last(f"balances:{account.id}") is None


def test_strangers_get_404_everywhere(
    customer: Client, user: User, login_as: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = connected(user)
    use(monkeypatch, PASSED)
    with transaction():
        stranger = login_as(make_user())
    path = f"/exchanges/{account.id}"
    for part in ("", "/balances", "/delete"):
        assert stranger.get(f"{path}{part}").status_code == 404
    for part in ("/rename", "/recheck", "/toggle", "/delete"):
        form = {"label": "Mine", "active": "0"}
        assert stranger.post_form(f"{path}{part}", form).status_code == 404, part
    row = db.session.get(ExchangeAccount, account.id)
    assert row is not None
    assert (row.label, row.active, row.deleted_at) == ("Main", True, None)


@pytest.mark.parametrize("part", ["rename", "recheck", "toggle", "delete"])
def test_post_without_a_token_is_refused(customer: Client, user: User, part: str) -> None:
    account = paper(user)
    assert customer.post(f"/exchanges/{account.id}/{part}", data={"label": "x"}).status_code == 400
    assert queries.account_of(user.id, account.id).label == "Paper"


def test_secret_never_reaches_a_log(
    customer: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    use(monkeypatch, failed("key_refused"))
    customer.post_form("/exchanges/new?exchange=okx", keys_form())
    use(monkeypatch, PASSED)
    customer.post_form("/exchanges/new?exchange=okx", keys_form())
    assert all(secret not in caplog.text for secret in SECRETS)
    assert repr(ApiKeys(*SECRETS)) == "ApiKeys()"


def test_our_addresses_are_shown_to_be_copied(
    customer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = replace(config.current_config(), outgoing_addresses=("203.0.113.7",))
    monkeypatch.setattr(routes, "current_config", lambda: shown)
    page = customer.get("/exchanges/new?exchange=bybit").text
    assert 'data-copy="203.0.113.7"' in page


WARNED = KeyCheck(
    tuple(Step(name, StepState.WARNING, "address_open") for name in StepName),
    Rights(read=True, trade=True, withdraw=False, bound_to_address=False),
)


def test_warnings_do_not_stop_anybody(
    customer: Client, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, WARNED)
    assert customer.post_form("/exchanges/new?exchange=okx", keys_form()).status_code == 303
    assert len(queries.accounts_of(user.id)) == 1
