"""Orders to a provider about a subscription: a row, the call, the answer.

The call stands between two transactions. If its answer is lost, or this process is, the same order
is sent again under the same key.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from app.accounts.locks import lock_person
from app.adapters.payments.keeping import ChangeOrder, CommandOrder, Verb
from app.adapters.payments.port import Piece, Ref
from app.db import db, utc_now
from app.errors import Conflict, DomainError, Unavailable
from app.payments.drain import pause_after
from app.payments.settling import take, take_ref
from app.queues import QueueName, enqueue_once
from app.subscriptions.provider import store
from app.subscriptions.provider.models import CommandState, RailCommand
from app.transactions import after_commit, transaction

log = logging.getLogger(__name__)

SEND_JOB = "app.subscriptions.provider.jobs.send_command"
# From this try on a person has to look at it.
STUCK_AFTER = 5
BATCH = 50


def order(
    user_id: int,
    rail: str,
    subscription_ref: str,
    verb: Verb,
    params: Mapping[str, Any] | None = None,
    *,
    owed: bool = False,
) -> int:
    """Store an order and return its id; the same one that waits already is returned again.

    Another one that waits gives way, unless it is owed and this one is not.
    """
    wanted = dict(params or {})
    lock_person(user_id)
    waiting = _waiting(rail, subscription_ref)
    if waiting is not None:
        if waiting.verb == verb and waiting.params == wanted:
            waiting.owed = waiting.owed or owed
            return waiting.id
        if waiting.owed and not owed:
            raise Conflict("order_waits")
        _close(waiting, CommandState.DROPPED)
    row = RailCommand(
        user_id=user_id,
        rail=rail,
        subscription_ref=subscription_ref,
        verb=verb.value,
        params=wanted,
        owed=owed,
    )
    db.session.add(row)
    db.session.flush()
    return row.id


def owe(user_id: int, rail: str, subscription_ref: str, verb: Verb) -> None:
    """Store an order that is sent until the provider confirms it."""
    command_id = order(user_id, rail, subscription_ref, verb, owed=True)
    after_commit(
        lambda: enqueue_once(
            QueueName.PAYMENTS, SEND_JOB, command_id, key=f"rail-command-{command_id}"
        )
    )


def send(command_id: int) -> None:
    """Carry an order out now; nothing happens to one that is done with.

    Opens transactions of its own. Raises Unavailable when nobody knows, and what is refused.
    """
    with transaction():
        row = _locked(command_id)
        if row is None or row.state != CommandState.WAITING:
            return
        rail, asked = row.rail, _order_of(row)
        row.attempts += 1
        row.due_at = utc_now() + pause_after(row.attempts)
    try:
        seen = store.keeper(rail).carry_out(asked)
    except DomainError as error:
        with transaction():
            _note_failure(command_id, error)
        raise
    with transaction():
        if seen is not None:
            take(rail, seen)
        if seen is not None and seen.open_invoice_id:
            # Where it may be paid is known at once.
            take_ref(rail, Ref("invoice", seen.open_invoice_id))
        row = _locked(command_id)
        if row is not None and row.state == CommandState.WAITING:
            _close(row, CommandState.DONE)


def send_owed(command_id: int) -> None:
    """Carry out an order that nobody waits for; what goes wrong is on its row."""
    try:
        send(command_id)
    except DomainError as error:
        log.warning("rail_command_not_sent command=%s error=%s", command_id, error.code)


def due() -> list[int]:
    """Return owed orders whose time to be sent has come."""
    query = (
        select(RailCommand.id)
        .where(
            RailCommand.state == CommandState.WAITING.value,
            RailCommand.owed,
            RailCommand.due_at <= utc_now(),
        )
        .order_by(RailCommand.due_at)
        .limit(BATCH)
    )
    return list(db.session.scalars(query))


def _order_of(row: RailCommand) -> CommandOrder:
    change = None
    if row.params:
        pieces = tuple(Piece(price, int(quantity)) for price, quantity in row.params["pieces"])
        at = datetime.fromtimestamp(row.params["at"], UTC)
        without = tuple(row.params.get("without", ()))
        change = ChangeOrder(row.subscription_ref, pieces, at, without=without)
    key = f"command:{row.id}" + (f":{row.round}" if row.round else "")
    return CommandOrder(key, Verb(row.verb), row.subscription_ref, change)


def _note_failure(command_id: int, error: DomainError) -> None:
    row = _locked(command_id)
    if row is None or row.state != CommandState.WAITING:
        return
    row.error = error.code
    if error.values.get("is_kept"):
        row.round += 1
    if not row.owed:
        if not isinstance(error, Unavailable):
            _close(row, CommandState.REFUSED)
        return
    if not isinstance(error, Unavailable):
        # Refused today, yet owed: what is in the way may be put right, so it is asked again.
        row.round += 1
    if row.attempts == STUCK_AFTER:
        log.error("rail_command_stuck command=%s verb=%s", row.id, row.verb)


def _close(row: RailCommand, state: CommandState) -> None:
    row.state = state.value
    row.done_at = utc_now()
    db.session.flush()


def _waiting(rail: str, subscription_ref: str) -> RailCommand | None:
    return db.session.scalar(
        select(RailCommand)
        .where(
            RailCommand.rail == rail,
            RailCommand.subscription_ref == subscription_ref,
            RailCommand.state == CommandState.WAITING.value,
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _locked(command_id: int) -> RailCommand | None:
    return db.session.get(RailCommand, command_id, with_for_update=True, populate_existing=True)
