"""Connecting accounts, and all that their owner does with them.

Keys are checked at the exchange before anything is stored, and outside any transaction: the route
calls `check_new_keys`, then opens the transaction for `connect_keys`.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from app import events
from app.accounts import audit
from app.accounts.keys import open_for, seal_for
from app.accounts.models import User
from app.adapters.exchanges import open_exchange
from app.adapters.exchanges.check import KeyCheck, KeyPolicy, check_keys
from app.adapters.exchanges.keys import ApiKeys
from app.db import db, utc_now
from app.encryption import DecryptionError
from app.errors import Conflict, Forbidden, InvalidInput, NotFound
from app.exchanges import rules, snapshots
from app.exchanges.catalogue import PAPER, VENUES, Venue
from app.exchanges.events import AccountClosing, AccountConnecting, AccountSwitchedOff
from app.exchanges.leases import fence_off
from app.exchanges.models import Exchange, ExchangeAccount, PaperBalance
from app.exchanges.queries import Balances, account_of, has_keys, is_enabled, is_paper
from app.settings import queries as settings
from app.settings.rules import KEYS_MAY_WITHDRAW, KEYS_NEED_ADDRESS, KEYS_NEED_FACTOR, PARTNER_IDS
from app.trading.ports import VenueOrder
from app.transactions import after_commit

if TYPE_CHECKING:
    from app.adapters.exchanges.ccxt import CcxtExchange

log = logging.getLogger(__name__)

TABLE = "exchange_accounts"
PAPER_CURRENCY = "USDT"
Checker = Callable[..., KeyCheck]


@dataclass(frozen=True, slots=True)
class NewKeys:
    """What somebody typed to connect a real account."""

    exchange: str
    label: str
    keys: ApiKeys = field(repr=False)
    testnet: bool = False


@dataclass(frozen=True, slots=True)
class CheckedKeys:
    """Keys that the exchange has just been asked about."""

    wanted: NewKeys
    check: KeyCheck


def seed_exchanges() -> None:
    """Add the platforms of the catalogue that the table lacks; their switches are left alone."""
    for venue in VENUES.values():
        db.session.execute(
            insert(Exchange)
            .values(code=venue.code, name=venue.name, enabled=True, note="")
            .on_conflict_do_nothing(index_elements=["code"])
        )


def connect_paper(
    user_id: int, label: str, venue: str, balance: Decimal, currency: str = PAPER_CURRENCY
) -> ExchangeAccount:
    """Open a paper account with some money, on an exchange's prices and fees."""
    label = rules.clean_label(label)
    balance = rules.check_balance(balance)
    if currency != PAPER_CURRENCY:
        raise InvalidInput("unknown_currency", field="currency")
    chosen = _choosable(venue)
    if chosen.is_paper or not is_enabled(PAPER):
        raise Conflict("exchange_disabled", field="exchange", exchange=chosen.name)
    _admit(user_id, label, "paper")
    account = _new_account(user_id, label, chosen, exchange=PAPER, mode="paper")
    db.session.add(account)
    db.session.flush()
    db.session.add(
        PaperBalance(account_id=account.id, currency=currency, free=balance, locked=Decimal(0))
    )
    audit.record("account.connected", "exchange_account", account.id, actor_id=user_id)
    return account


def check_new_keys(user_id: int, wanted: NewKeys, checker: Checker = check_keys) -> CheckedKeys:
    """Ask the exchange about keys before they are stored; call it outside any transaction."""
    venue = _choosable(wanted.exchange)
    if venue.is_paper:
        raise InvalidInput("unknown_exchange", field="exchange")
    if wanted.testnet and not venue.has_testnet:
        raise InvalidInput("no_testnet", field="testnet", exchange=venue.name)
    cleaned = NewKeys(
        venue.code, rules.clean_label(wanted.label), _clean(wanted.keys, venue), wanted.testnet
    )
    check = checker(venue.code, cleaned.keys, testnet=cleaned.testnet, policy=key_policy())
    return CheckedKeys(cleaned, check)


def connect_keys(user_id: int, checked: CheckedKeys) -> ExchangeAccount:
    """Store keys that passed their check, sealed under their owner's data key."""
    if not checked.check.passed:
        raise Conflict("keys_not_checked")
    wanted = checked.wanted
    venue = _choosable(wanted.exchange)
    _admit(user_id, wanted.label, "live")
    found = rules.fingerprint(wanted.exchange, wanted.testnet, wanted.keys.key)
    if _key_is_known(found):
        raise Conflict("key_already_connected", field="key")
    number = checked.check.rights.account
    there = rules.account_fingerprint(wanted.exchange, wanted.testnet, number)
    if there is not None and _account_is_known(there):
        raise Conflict("exchange_account_connected", field="key", exchange=venue.name)
    account = _new_account(user_id, wanted.label, venue, exchange=venue.code, mode="live")
    account.account_fingerprint = there
    account.testnet = wanted.testnet
    account.key_fingerprint = found
    account.last_four = rules.last_four(wanted.keys.key)
    account.partner_id = partner_id_at(venue.code)
    _seal(account, wanted.keys)
    _note_check(account, checked.check)
    db.session.add(account)
    db.session.flush()
    audit.record(
        "account.connected",
        "exchange_account",
        account.id,
        actor_id=user_id,
        after={"exchange": venue.code, "testnet": wanted.testnet, "last_four": account.last_four},
    )
    return account


def key_policy() -> KeyPolicy:
    """Return which keys staff allow at the moment."""
    return KeyPolicy(
        may_withdraw=settings.is_on(KEYS_MAY_WITHDRAW),
        needs_address=settings.is_on(KEYS_NEED_ADDRESS),
    )


def keys_need_factor() -> bool:
    """Tell whether keys are taken only from people with a second factor."""
    return settings.is_on(KEYS_NEED_FACTOR)


def has_guarded_keys(user_id: int) -> bool:
    """Tell whether a person has keys here that staff want behind a second factor."""
    return keys_need_factor() and has_keys(user_id)


def partner_id_at(exchange: str) -> str:
    """Return our partner id at an exchange, which new accounts get; empty for none."""
    setting = PARTNER_IDS.get(exchange)
    return "" if setting is None else settings.text_of(setting)


def rename(user_id: int, account_id: int, label: str) -> None:
    """Give an account another name."""
    account = _locked(user_id, account_id)
    label = rules.clean_label(label)
    if label.lower() != account.label.lower():
        _check_label_free(user_id, label)
    account.label = label


def check_again(user_id: int, account_id: int, checker: Checker = check_keys) -> KeyCheck:
    """Ask the exchange about stored keys; call it outside any transaction.

    Raises Conflict for an account without keys, and for keys that do not open any more.
    """
    account = account_of(user_id, account_id)
    if is_paper(account):
        raise Conflict("paper_has_no_keys")
    try:
        keys = open_keys(account)
    except DecryptionError:
        log.error("keys_do_not_open account=%s", account_id)
        raise Conflict("keys_do_not_open") from None
    return checker(account.exchange, keys, testnet=account.testnet, policy=key_policy())


def store_check(user_id: int, account_id: int, check: KeyCheck) -> None:
    """Keep what a new check has found."""
    account = _locked(user_id, account_id)
    _note_check(account, check)
    there = rules.account_fingerprint(account.exchange, account.testnet, check.rights.account)
    # Connected before accounts were told apart.
    if account.account_fingerprint is None and there and not _account_is_known(there):
        account.account_fingerprint = there


def switch(user_id: int, account_id: int, *, on: bool) -> None:
    """Switch an account on, or off: then what runs on it stops."""
    account = _locked(user_id, account_id)
    if account.active == on:
        return
    account.active = on
    action = "account.switched_on" if on else "account.switched_off"
    audit.record(action, "exchange_account", account.id, actor_id=user_id)
    if not on:
        events.publish(AccountSwitchedOff(account.id))


def delete(
    user_id: int, account_id: int, *, leaves_stops: bool = False, leaves_orders: bool = False
) -> None:
    """Delete an account on which nothing runs: its keys are gone, its trades stay.

    What stands at the exchange stays there only if its owner wants that: stops of positions, or
    all orders, where the key can't take them back any more.
    """
    # A tick under way would write down again what is let go here, and go on at the exchange.
    fence_off(account_id)
    account = _locked(user_id, account_id)
    # On paper nothing stays anywhere.
    leaves_stops |= is_paper(account)
    events.publish(AccountClosing(account.id, leaves_stops, leaves_orders))
    account.deleted_at = utc_now()
    account.active = False
    account.sealed_key = account.sealed_secret = account.sealed_passphrase = None
    account.key_fingerprint = account.account_fingerprint = None
    after_commit(lambda: snapshots.forget(account_id))
    audit.record("account.deleted", "exchange_account", account.id, actor_id=user_id)


def let_go(user_id: int) -> list[int]:
    """Let nobody look at the accounts of a person who is erased; return which they were.

    A tick under way would go on there. What is kept of the accounts goes with the person's data.
    """
    mine = ExchangeAccount.user_id == user_id, ExchangeAccount.deleted_at.is_(None)
    accounts = db.session.scalars(
        select(ExchangeAccount.id).where(*mine).order_by(ExchangeAccount.id)
    ).all()
    # Before anything else of them is locked, as ticks do.
    for account_id in accounts:
        fence_off(account_id)
    gone = update(ExchangeAccount).where(*mine).values(deleted_at=utc_now(), active=False)
    db.session.execute(gone)
    return list(accounts)


def open_keys(account: ExchangeAccount) -> ApiKeys:
    """Open an account's keys; raise DecryptionError if the row was changed by somebody."""
    if account.sealed_key is None or account.sealed_secret is None:
        raise NotFound("unknown_account")
    passphrase = _open(account, "sealed_passphrase", account.sealed_passphrase)
    return ApiKeys(
        _open(account, "sealed_key", account.sealed_key),
        _open(account, "sealed_secret", account.sealed_secret),
        passphrase,
    )


@dataclass(frozen=True, slots=True)
class Door:
    """All that is needed to open a real account without the database."""

    exchange: str
    keys: ApiKeys = field(repr=False)
    testnet: bool
    maker_fee: Decimal
    taker_fee: Decimal
    partner_id: str = ""

    def open(self) -> "CcxtExchange":
        """Open the account for trading; raise Unavailable if the exchange does not answer."""
        return open_exchange(
            self.exchange,
            self.keys,
            testnet=self.testnet,
            maker_fee=self.maker_fee,
            taker_fee=self.taker_fee,
            partner_id=self.partner_id,
        )


def door_of(account: ExchangeAccount) -> Door:
    """Read what opens a real account."""
    keys = open_keys(account)
    return Door(
        account.exchange,
        keys,
        account.testnet,
        account.maker_fee,
        account.taker_fee,
        account.partner_id,
    )


def read_balances(door: Door) -> Balances:
    """Return what a real account holds, as the exchange says now; for workers only.

    Call it outside any transaction. Raise Unavailable or KeyRefusedError when the exchange does
    not tell.
    """
    with closing(door.open()) as venue:
        return _balances(venue)


def read_remains(door: Door, symbols: Iterable[str]) -> tuple[Balances, tuple[VenueOrder, ...]]:
    """Return what a real account holds and which orders stand there; as `read_balances`.

    Those of these pairs, and of the contracts that it holds.
    """
    with closing(door.open()) as venue:
        found = _balances(venue)
        held = (one.symbol for one in found.positions)
        return found, venue.standing(sorted({*symbols, *held}))


def _balances(venue: "CcxtExchange") -> Balances:
    positions = venue.positions()
    # Without positions the margin can be isolated when a bot needs it: no need to ask.
    isolated = not positions or venue.is_isolated()
    return Balances(venue.balances(), utc_now(), positions, isolated)


def _admit(user_id: int, label: str, mode: str) -> None:
    """Check that somebody may have one more account, with this name; one at a time for a person."""
    user = db.session.scalar(select(User).where(User.id == user_id).with_for_update(of=User))
    if user is None:
        raise NotFound("unknown_user")
    if mode == "live" and not user.is_confirmed:
        raise Forbidden("confirm_address_first")
    _check_label_free(user_id, label)
    events.publish(AccountConnecting(user_id, mode))


def _check_label_free(user_id: int, label: str) -> None:
    taken = db.session.scalar(
        select(ExchangeAccount.id).where(
            ExchangeAccount.user_id == user_id,
            func.lower(ExchangeAccount.label) == func.lower(label),
            ExchangeAccount.deleted_at.is_(None),
        )
    )
    if taken is not None:
        raise Conflict("account_label_taken", field="label", label=label)


def _key_is_known(found: str) -> bool:
    query = select(ExchangeAccount.id).where(
        ExchangeAccount.key_fingerprint == found, ExchangeAccount.deleted_at.is_(None)
    )
    return db.session.scalar(query) is not None


def _account_is_known(found: str) -> bool:
    query = select(ExchangeAccount.id).where(
        ExchangeAccount.account_fingerprint == found, ExchangeAccount.deleted_at.is_(None)
    )
    return db.session.scalar(query) is not None


def _choosable(code: str) -> Venue:
    venue = VENUES.get(code)
    if venue is None:
        raise InvalidInput("unknown_exchange", field="exchange")
    if not is_enabled(code):
        raise Conflict("exchange_disabled", field="exchange", exchange=venue.name)
    return venue


def _new_account(
    user_id: int, label: str, venue: Venue, *, exchange: str, mode: str
) -> ExchangeAccount:
    number = db.session.scalar(select(func.nextval(func.pg_get_serial_sequence(TABLE, "id"))))
    return ExchangeAccount(
        id=number,
        user_id=user_id,
        exchange=exchange,
        venue=venue.code,
        label=label,
        mode=mode,
        testnet=False,
        active=True,
        permissions={},
        maker_fee=venue.maker_fee,
        taker_fee=venue.taker_fee,
    )


def _clean(keys: ApiKeys, venue: Venue) -> ApiKeys:
    passphrase = rules.clean_key(keys.passphrase, "passphrase") if venue.needs_passphrase else ""
    return ApiKeys(
        rules.clean_key(keys.key, "key"), rules.clean_key(keys.secret, "secret"), passphrase
    )


def _seal(account: ExchangeAccount, keys: ApiKeys) -> None:
    account.sealed_key = _sealed(account, "sealed_key", keys.key)
    account.sealed_secret = _sealed(account, "sealed_secret", keys.secret)
    if keys.passphrase:
        account.sealed_passphrase = _sealed(account, "sealed_passphrase", keys.passphrase)


def _sealed(account: ExchangeAccount, column: str, text: str) -> str:
    return seal_for(account.user_id, text.encode(), table=TABLE, column=column, row=account.id)


def _open(account: ExchangeAccount, column: str, sealed: str | None) -> str:
    if sealed is None:
        return ""
    return open_for(account.user_id, sealed, table=TABLE, column=column, row=account.id).decode()


def _note_check(account: ExchangeAccount, check: KeyCheck) -> None:
    failure = check.failure
    account.checked_at = utc_now()
    account.check_error = failure.code if failure else None
    if failure is None:
        rights = check.rights
        account.permissions = {
            "read": rights.read,
            "trade": rights.trade,
            "contracts": rights.contracts,
            "withdraw": rights.withdraw,
            "bound_to_address": rights.bound_to_address,
        }


def _locked(user_id: int, account_id: int) -> ExchangeAccount:
    account = account_of(user_id, account_id)
    db.session.refresh(account, with_for_update=True)
    if account.deleted_at is not None:
        raise NotFound("unknown_account")
    return account
