from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text, update

from app import events
from app.accounts.models import AuditEntry, User
from app.adapters.exchanges.check import KeyCheck, KeyPolicy, Rights, Step, StepName, StepState
from app.adapters.exchanges.keys import ApiKeys
from app.db import db, utc_now
from app.encryption import DecryptionError
from app.errors import Conflict, DomainError, Forbidden, InvalidInput, LimitReached, NotFound
from app.exchanges import queries, service, snapshots
from app.exchanges.events import AccountClosing, AccountConnecting, AccountSwitchedOff
from app.exchanges.models import Exchange, ExchangeAccount, PaperCursor, PaperOrder
from app.exchanges.service import NewKeys
from app.settings import service as settings
from app.subscriptions.service import seed_plans
from app.transactions import transaction
from tests.at_once import at_once
from tests.factories import make_market, make_user

pytestmark = pytest.mark.usefixtures("database")

SECRETS = ("visible-key-AAAABBBBCCCC1234", "hidden-secret-0123456789abcdef", "hidden-passphrase-77")
THOUSAND = Decimal(1000)
PASSED = KeyCheck(
    tuple(Step(name, StepState.OK, "fine") for name in StepName),
    Rights(read=True, trade=True, withdraw=False, bound_to_address=True),
)


def failed(code: str, name: StepName = StepName.RIGHTS) -> KeyCheck:
    steps = [Step(one, StepState.SKIPPED, "not_checked") for one in StepName if one is not name]
    return KeyCheck((Step(name, StepState.FAILED, code), *steps))


class Checker:
    """A stand-in for the exchange, which remembers what it was asked."""

    def __init__(self, answer: KeyCheck = PASSED) -> None:
        self.answer = answer
        self.asked: list[tuple[str, ApiKeys, bool]] = []
        self.policies: list[KeyPolicy] = []

    def __call__(self, name: str, keys: ApiKeys, *, testnet: bool, policy: KeyPolicy) -> KeyCheck:
        self.asked.append((name, keys, testnet))
        self.policies.append(policy)
        return self.answer


@pytest.fixture(autouse=True)
def _catalogue(database: None) -> None:
    with transaction():
        service.seed_exchanges()
        seed_plans()


@pytest.fixture
def user() -> User:
    with transaction():
        return make_user()


@pytest.fixture
def heard() -> Iterator[list[Any]]:
    """Return what accounts announce."""
    found: list[Any] = []
    kinds: tuple[type[Any], ...] = (AccountClosing, AccountConnecting, AccountSwitchedOff)

    def hear(event: Any) -> None:
        found.append(event)

    for kind in kinds:
        events.on(kind)(hear)
    yield found
    for kind in kinds:
        events._handlers[kind].remove(hear)


def paper(user: User, label: str = "Paper", **options: Any) -> ExchangeAccount:
    values = {"venue": "bybit", "balance": THOUSAND, **options}
    with transaction():
        return service.connect_paper(user.id, label, **values)


def wanted(label: str = "Main", exchange: str = "okx", **options: Any) -> NewKeys:
    return NewKeys(exchange, label, ApiKeys(*SECRETS), **options)


def connected(user: User, what: NewKeys | None = None) -> ExchangeAccount:
    checked = service.check_new_keys(user.id, what or wanted(), Checker())
    with transaction():
        return service.connect_keys(user.id, checked)


def test_catalogue_has_five_exchanges_and_paper_and_keeps_switches_over_a_seed() -> None:
    with transaction():
        db.session.execute(update(Exchange).where(Exchange.code == "okx").values(enabled=False))
        service.seed_exchanges()
    listed = {one.venue.code: one.enabled for one in queries.catalogue()}
    assert list(listed) == ["bybit", "binance", "okx", "kucoin", "mexc", "paper"]
    assert [code for code, enabled in listed.items() if not enabled] == ["okx"]
    assert [listed.venue.code for listed in queries.catalogue() if listed.enabled] == [
        "bybit",
        "binance",
        "kucoin",
        "mexc",
        "paper",
    ]
    venues = {one.venue.code: one.venue for one in queries.catalogue()}
    assert [code for code, venue in venues.items() if venue.needs_passphrase] == ["okx", "kucoin"]
    assert [code for code, venue in venues.items() if venue.has_testnet] == [
        "bybit",
        "binance",
        "okx",
    ]


def test_paper_account_has_its_money_and_the_fees_of_the_chosen_exchange(user: User) -> None:
    account = paper(user, venue="okx", balance=Decimal("2500.5"))
    assert (account.exchange, account.venue, account.mode) == ("paper", "okx", "paper")
    assert (account.maker_fee, account.taker_fee) == (Decimal("0.0008"), Decimal("0.001"))
    balance = queries.paper_balances(account.id).by_currency["USDT"]
    assert (balance.free, balance.locked) == (Decimal("2500.5"), Decimal(0))


BAD_BALANCES = ["0", "-5", "9.99", "100000000.01", "1e30", "NaN", "Infinity", "100.000000001"]


@pytest.mark.parametrize("amount", BAD_BALANCES)
def test_absurd_paper_money_is_refused_and_leaves_nothing(user: User, amount: str) -> None:
    with pytest.raises(InvalidInput):
        paper(user, balance=Decimal(amount))
    assert queries.accounts_of(user.id) == []


@pytest.mark.parametrize("label", ["", "   ", "x" * 61, "a\x00b", "a\u200bb\ud800", "a\nb\x07"])
def test_absurd_names_are_refused(user: User, label: str) -> None:
    with pytest.raises(InvalidInput):
        paper(user, label)


@pytest.mark.parametrize("venue", ["", "paper", "nasdaq", "BYBIT", "bybit'--"])
def test_paper_account_needs_a_real_exchange(user: User, venue: str) -> None:
    with pytest.raises(DomainError):
        paper(user, venue=venue)


def test_exchange_that_is_off_can_not_be_chosen(user: User) -> None:
    with transaction():
        db.session.execute(update(Exchange).where(Exchange.code == "bybit").values(enabled=False))
    with pytest.raises(Conflict) as caught:
        paper(user)
    assert caught.value.code == "exchange_disabled"
    with pytest.raises(Conflict):
        service.check_new_keys(user.id, wanted(exchange="bybit"), Checker())
    with transaction():
        db.session.execute(update(Exchange).values(enabled=True))
        db.session.execute(update(Exchange).where(Exchange.code == "paper").values(enabled=False))
    with pytest.raises(Conflict):
        paper(user)


def test_second_account_of_the_same_name_is_refused_so_a_double_click_makes_one(user: User) -> None:
    paper(user, "Paper")
    for label in ("Paper", " paper ", "PAPER"):
        with pytest.raises(Conflict) as caught:
            paper(user, label)
        assert caught.value.code == "account_label_taken"
    with transaction():
        other = make_user()
    paper(other, "Paper")


def test_parallel_double_click_makes_one_account(app: Flask, user: User) -> None:
    number = user.id
    db.session.commit()

    def click(_: int) -> str:
        try:
            with transaction():
                service.connect_paper(number, "Paper", "bybit", THOUSAND)
        except DomainError as error:
            return error.code
        return "made"

    assert sorted(at_once(app, 5, click)) == ["account_label_taken"] * 4 + ["made"]
    assert len(queries.accounts_of(number)) == 1


def test_plan_may_refuse_one_more_account(user: User) -> None:
    paper(user, "One")
    paper(user, "Two")
    with pytest.raises(LimitReached):
        paper(user, "Three")


def test_account_connecting_is_asked_before_anything_is_stored(
    user: User, heard: list[Any]
) -> None:
    paper(user)
    assert heard == [AccountConnecting(user.id, "paper")]


def test_keys_are_checked_before_they_are_stored_with_the_site_they_are_for(user: User) -> None:
    checker = Checker()
    checked = service.check_new_keys(user.id, wanted(testnet=True), checker)
    assert queries.accounts_of(user.id) == []
    with transaction():
        account = service.connect_keys(user.id, checked)
    assert [(name, testnet) for name, _, testnet in checker.asked] == [("okx", True)]
    assert (account.mode, account.exchange, account.testnet) == ("live", "okx", True)
    assert account.last_four == "1234"
    assert account.permissions == {
        "read": True, "trade": True, "contracts": None, "withdraw": False,
        "bound_to_address": True,
    }  # fmt: skip
    assert service.open_keys(account) == ApiKeys(*SECRETS)


@pytest.mark.parametrize("code", ["key_can_withdraw", "key_refused", "exchange_unreachable"])
def test_keys_that_failed_their_check_are_never_stored(user: User, code: str) -> None:
    checked = service.check_new_keys(user.id, wanted(), Checker(failed(code)))
    with pytest.raises(Conflict), transaction():
        service.connect_keys(user.id, checked)
    assert queries.accounts_of(user.id) == []


def test_half_a_check_is_no_check(user: User) -> None:
    half = KeyCheck(PASSED.steps[:-1], PASSED.rights)
    checked = service.check_new_keys(user.id, wanted(), Checker(half))
    with pytest.raises(Conflict), transaction():
        service.connect_keys(user.id, checked)


def test_unconfirmed_person_connects_no_real_account() -> None:
    with transaction():
        user = make_user(confirmed=False)
    paper(user)
    with pytest.raises(Forbidden):
        connected(user)


def dump() -> str:
    """Return every row of every table as text."""
    tables = db.session.scalars(
        text("select tablename from pg_tables where schemaname = 'public'")
    ).all()
    rows: list[str] = []
    for name in tables:
        rows += db.session.scalars(text(f'select row_to_json(t)::text from "{name}" as t'))  # noqa: S608 - names of our own tables
    return "\n".join(rows)


def test_dump_of_the_database_holds_no_key_in_plain_text(user: User) -> None:
    connected(user)
    found = dump()
    assert "sealed_key" in found
    for secret in SECRETS:
        assert secret not in found


def test_sealed_key_opens_in_no_other_row_and_for_no_other_owner(user: User) -> None:
    first = connected(user)
    with transaction():
        other = make_user()
    foreign = connected(
        other, NewKeys("okx", "Main", ApiKeys("another-key-12345678", *SECRETS[1:]))
    )
    with transaction():
        foreign.sealed_secret = first.sealed_secret
    with pytest.raises(DecryptionError):
        service.open_keys(foreign)
    with transaction():
        first.sealed_key, first.sealed_secret = first.sealed_secret, first.sealed_key
    with pytest.raises(DecryptionError):
        service.open_keys(first)


def test_same_key_is_never_connected_twice_even_by_somebody_else(user: User) -> None:
    account = connected(user)
    with transaction():
        other = make_user()
    for person, label in ((user, "Again"), (other, "Mine")):
        with pytest.raises(Conflict) as caught:
            connected(person, wanted(label))
        assert caught.value.code == "key_already_connected"
    with transaction():
        service.delete(user.id, account.id)
    connected(other, wanted("Mine"))


def test_an_account_there_is_never_connected_with_two_keys(user: User) -> None:
    """Each would spend its money and take the other's orders for strays."""

    def connect(key: str, number: str | None, label: str) -> ExchangeAccount:
        told = replace(PASSED, rights=replace(PASSED.rights, account=number))
        keys = NewKeys("okx", label, ApiKeys(key, *SECRETS[1:]))
        with transaction():
            person = user.id if label == "First" else make_user().id
        checked = service.check_new_keys(person, keys, Checker(told))
        with transaction():
            return service.connect_keys(person, checked)

    first = connect("first-key-of-it", "4711", "First")
    assert "4711" not in (first.account_fingerprint or "")
    with pytest.raises(Conflict, match="exchange_account_connected"):
        connect("second-key-of-it", "4711", "Second")
    for number in ("4712", None):
        connect(f"a-key-of-{number}", number, f"Other {number}")
    # One that was connected before is known from its next check on.
    older = connect("an-older-key", None, "Older")
    with transaction():
        told = replace(PASSED, rights=replace(PASSED.rights, account="4713"))
        service.store_check(older.user_id, older.id, told)
    with pytest.raises(Conflict, match="exchange_account_connected"):
        connect("a-newer-key", "4713", "Newer")
    with transaction():
        service.delete(user.id, first.id)
    connect("second-key-of-it", "4711", "Second")


BAD_KEYS = [
    "", "short", "has a space inside it", "new\nline-in-the-key", "x" * 513, "ключ-ключ-ключ",
    "a\x00bcdefghij",
]  # fmt: skip


@pytest.mark.parametrize("key", BAD_KEYS)
def test_what_can_not_be_a_key_never_reaches_an_exchange(user: User, key: str) -> None:
    checker = Checker()
    for keys in (ApiKeys(key, *SECRETS[1:]), ApiKeys(SECRETS[0], key, SECRETS[2])):
        with pytest.raises(InvalidInput):
            service.check_new_keys(user.id, NewKeys("okx", "Main", keys), checker)
    assert checker.asked == []


def test_passphrase_is_asked_where_the_exchange_has_one(user: User) -> None:
    without = ApiKeys(*SECRETS[:2])
    with pytest.raises(InvalidInput):
        service.check_new_keys(user.id, NewKeys("kucoin", "Main", without), Checker())
    service.check_new_keys(user.id, NewKeys("bybit", "Main", without), Checker())


def test_test_site_is_refused_where_there_is_none(user: User) -> None:
    with pytest.raises(InvalidInput):
        service.check_new_keys(user.id, wanted(exchange="mexc", testnet=True), Checker())


def test_rename_keeps_names_unique_and_allows_the_same_name_in_other_letters(user: User) -> None:
    first, second = paper(user, "One"), paper(user, "Two")
    with transaction():
        service.rename(user.id, first.id, "ONE")
    with pytest.raises(Conflict), transaction():
        service.rename(user.id, second.id, "one")
    assert queries.account_of(user.id, first.id).label == "ONE"


def test_switching_off_announces_it_once(user: User, heard: list[Any]) -> None:
    account = paper(user)
    heard.clear()
    for _ in range(2):
        with transaction():
            service.switch(user.id, account.id, on=False)
    assert heard == [AccountSwitchedOff(account.id)]
    with transaction():
        service.switch(user.id, account.id, on=True)
    assert queries.account_of(user.id, account.id).active


def test_deletion_asks_first_forgets_the_keys_and_keeps_the_row(
    user: User, heard: list[Any]
) -> None:
    account = connected(user)
    heard.clear()
    with transaction():
        service.delete(user.id, account.id)
    assert heard == [AccountClosing(account.id)]
    row = db.session.get(ExchangeAccount, account.id)
    assert row is not None
    assert (row.sealed_key, row.sealed_secret, row.sealed_passphrase) == (None, None, None)
    with pytest.raises(NotFound):
        queries.account_of(user.id, account.id)
    with pytest.raises(NotFound), transaction():
        service.delete(user.id, account.id)
    connected(user)


def test_deletion_that_somebody_objects_to_changes_nothing(user: User) -> None:
    account = connected(user)

    def object_to_it(event: AccountClosing) -> None:
        raise Conflict("bots_run_here")

    events.on(AccountClosing)(object_to_it)
    try:
        with pytest.raises(Conflict), transaction():
            service.delete(user.id, account.id)
    finally:
        events._handlers[AccountClosing].remove(object_to_it)
    assert service.open_keys(queries.account_of(user.id, account.id)).secret == SECRETS[1]


def test_check_again_keeps_the_last_error_until_it_passes(user: User) -> None:
    account = connected(user)
    checker = Checker(failed("key_can_withdraw"))
    check = service.check_again(user.id, account.id, checker)
    assert checker.asked[0][1] == ApiKeys(*SECRETS)
    with transaction():
        service.store_check(user.id, account.id, check)
    assert queries.account_of(user.id, account.id).check_error == "key_can_withdraw"
    with transaction():
        service.store_check(user.id, account.id, PASSED)
    assert queries.account_of(user.id, account.id).check_error is None


def test_paper_account_has_no_keys_to_check(user: User) -> None:
    account = paper(user)
    with pytest.raises(Conflict):
        service.check_again(user.id, account.id, Checker())


@pytest.mark.parametrize("number", [0, -1, 10**30])
def test_absurd_numbers_are_not_found(user: User, number: int) -> None:
    with pytest.raises(NotFound):
        queries.account_of(user.id, number)


def test_nobody_reaches_the_account_of_somebody_else(user: User) -> None:
    account = connected(user)
    with transaction():
        stranger = make_user()
    attempts: list[Callable[[], object]] = [
        lambda: queries.account_of(stranger.id, account.id),
        lambda: service.rename(stranger.id, account.id, "Mine"),
        lambda: service.check_again(stranger.id, account.id, Checker()),
        lambda: service.store_check(stranger.id, account.id, PASSED),
        lambda: service.switch(stranger.id, account.id, on=False),
        lambda: service.delete(stranger.id, account.id),
        lambda: snapshots.lately(stranger.id, account.id),
        lambda: snapshots.held_now(stranger.id, account.id),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound), transaction():
            attempt()
    assert queries.accounts_of(stranger.id) == []


def test_audit_tells_who_connected_what_without_a_secret(user: User) -> None:
    account = connected(user)
    with transaction():
        service.delete(user.id, account.id)
    entries = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    actions = [(entry.action, entry.actor_id) for entry in entries]
    assert actions == [("account.connected", user.id), ("account.deleted", user.id)]
    assert all(secret not in repr(entries[0].after) for secret in SECRETS)


def test_slowest_cursor_counts_accounts_with_an_order_in_the_pair(user: User) -> None:
    first, second = paper(user, "One"), paper(user, "Two")
    with transaction():
        market, other = make_market(), make_market("ETH/USDT")
        now = utc_now()
        for account, seq in ((first, 10), (second, 7)):
            for pair in (market, other):
                db.session.add(
                    PaperCursor(
                        account_id=account.id, market_id=pair.id, point_seq=seq, price=1, at=now
                    )
                )
        for account in (first, second):
            db.session.add(
                PaperOrder(
                    account_id=account.id, market_id=market.id, client_id=f"by{account.id}",
                    side="buy", kind="limit", price=1, quantity=1, filled=0, status="open",
                    placed_seq=1, placed_at=now,
                )
            )  # fmt: skip
    assert queries.slowest_cursors() == {market.id: 7}


def test_staff_decide_which_keys_are_accepted(user: User) -> None:
    checker = Checker()
    service.check_new_keys(user.id, wanted(), checker)
    with transaction():
        settings.change("keys_may_withdraw", True)
        settings.change("keys_need_address", True)
    service.check_new_keys(user.id, wanted(), checker)
    assert checker.policies == [
        KeyPolicy(),
        KeyPolicy(may_withdraw=True, needs_address=True),
    ]


def test_account_keeps_the_partner_id_that_held_when_it_was_connected(user: User) -> None:
    with transaction():
        settings.change("partner_id_bybit", "First")
    account = connected(user, wanted(exchange="bybit"))
    with transaction():
        settings.change("partner_id_bybit", "Second")
    assert queries.account_of(user.id, account.id).partner_id == "First"
    assert service.door_of(account).partner_id == "First"
