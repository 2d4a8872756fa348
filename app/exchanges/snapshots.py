"""What real accounts hold, as a worker last read it: no web process opens a key for it.

Pages show the last reading with its time and have a worker read anew; what decides about money
waits for a reading of its own. Paper accounts are read from their book.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from app import answers
from app.adapters.exchanges.reading import Held
from app.db import utc_now
from app.errors import DomainError, Unavailable
from app.exchanges.models import ExchangeAccount
from app.exchanges.queries import Balances, account_of, is_paper, paper_balances
from app.money import exact_text
from app.trading.codec import from_json, to_json
from app.trading.ports import Balance

READ_JOB = "app.exchanges.jobs.read_balances"
KEPT_S = 7 * 24 * 3600
# A page asks for nothing newer; whoever decides about money does.
FRESH = timedelta(seconds=30)
AS_OF_NOW = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What an account held when it was last read; `failure` is why the last try failed."""

    balances: Balances | None = None
    tried_at: datetime | None = None
    failure: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_asked(self) -> bool:
        """Say whether a newer reading is on its way."""
        return not self._is_younger(FRESH)

    @property
    def totals(self) -> Mapping[str, Decimal] | None:
        """Return all money by currency and positions by symbol; None if it was never read."""
        return None if self.balances is None else self.balances.totals

    @property
    def error(self) -> DomainError | None:
        """Return why the last try failed."""
        return None if self.failure is None else Unavailable(self.failure, **self.values)

    def _is_younger(self, age: timedelta) -> bool:
        return self.tried_at is not None and utc_now() - self.tried_at < age


def lately(user_id: int, account_id: int) -> Snapshot:
    """Return what an account held lately, and have a worker read it anew if that is old.

    Raise NotFound for the account of somebody else.
    """
    account = account_of(user_id, account_id)
    if is_paper(account):
        return _of_paper(account)
    found = _last(account_id)
    if found.is_asked:
        answers.request(READ_JOB, user_id, account_id, name=_name(account_id))
    return found


def held_now(user_id: int, account_id: int, patience_s: float = answers.PATIENCE_S) -> Balances:
    """Return what an account holds now; wait for a worker to read it.

    Call it outside any transaction. Raise NotFound for the account of somebody else, Unavailable
    when nobody answers in time or the exchange does not.
    """
    account = account_of(user_id, account_id)
    if is_paper(account):
        return paper_balances(account_id)
    found = _last(account_id)
    if found.balances is None or found.failure or utc_now() - found.balances.as_of > AS_OF_NOW:
        name = _name(account_id)
        text = answers.ask(READ_JOB, user_id, account_id, name=name, patience_s=patience_s)
        if text is None:
            raise Unavailable("nobody_answers")
        found = _read(text)
    if found.error is not None or found.balances is None:
        raise found.error or Unavailable("nobody_answers")
    return found.balances


def read_last(account_id: int) -> Snapshot:
    """Return what was read of an account last, however old; nobody is asked."""
    return _last(account_id)


def keep(account_id: int, balances: Balances) -> None:
    """Keep what a worker has just read."""
    _put(account_id, Snapshot(balances, utc_now()))


def keep_failure(account_id: int, error: DomainError) -> None:
    """Keep why an account could not be read; what was read before stays."""
    texts = {name: str(value) for name, value in error.values.items()}
    before = _last(account_id)
    _put(account_id, replace(before, tried_at=utc_now(), failure=error.code, values=texts))


def forget(account_id: int) -> None:
    """Take away what was read of an account."""
    answers.forget(_name(account_id))


def topic_of(account_id: int) -> str:
    """Return the topic under which pages hear of a new reading."""
    return f"account:{account_id}"


def _of_paper(account: ExchangeAccount) -> Snapshot:
    return Snapshot(paper_balances(account.id), utc_now())


def _name(account_id: int) -> str:
    return f"balances:{account_id}"


def _last(account_id: int) -> Snapshot:
    text = answers.last(_name(account_id))
    return Snapshot() if text is None else _read(text)


def _put(account_id: int, snapshot: Snapshot) -> None:
    answers.put(_name(account_id), json.dumps(_dump(snapshot)), KEPT_S)


def _dump(snapshot: Snapshot) -> dict[str, Any]:
    found = snapshot.balances
    return {
        "tried_at": to_json(snapshot.tried_at),
        "failure": snapshot.failure,
        "values": dict(snapshot.values),
        "balances": None
        if found is None
        else {
            "money": {
                currency: [exact_text(part) for part in balance]
                for currency, balance in found.by_currency.items()
            },
            "as_of": to_json(found.as_of),
            "positions": to_json(list(found.positions)),
            "is_isolated": found.is_isolated,
        },
    }


def _read(text: str) -> Snapshot:
    data = json.loads(text)
    found = data["balances"]
    balances = None
    if found is not None:
        balances = Balances(
            {name: Balance(*map(Decimal, parts)) for name, parts in found["money"].items()},
            from_json(datetime, found["as_of"]),
            [from_json(Held, each) for each in found["positions"]],
            found["is_isolated"],
        )
    tried_at = from_json(datetime, data["tried_at"])
    return Snapshot(balances, tried_at, data["failure"], data["values"])
