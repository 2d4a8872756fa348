"""What people do with subscriptions that a provider keeps, as steps of an edge.

Each verb opens transactions of its own around its calls: use them outside of any. The same verb
again, also after a lost answer, sends the same key and does it once.
"""

from app.accounts.deletion import service as deletion
from app.adapters.payments.keeping import Verb
from app.adapters.payments.port import RailSubscriptionState
from app.errors import Conflict, NotFound
from app.payments import customers, paying
from app.payments.paying import Payer
from app.payments.queries import offered_rails
from app.subscriptions.models import RailSubscription
from app.subscriptions.provider import changing, commands, store, subscribing
from app.subscriptions.provider.standing import standing
from app.subscriptions.terms import Choice, Preview
from app.transactions import transaction

__all__ = [
    "cancel",
    "change",
    "pause",
    "portal_url",
    "preview_change",
    "resume",
    "standing",
    "start",
    "undo_cancel",
]

_PAUSED = RailSubscriptionState.PAUSED.value
_RUNNING = (RailSubscriptionState.ACTIVE.value, RailSubscriptionState.TRIALING.value)


def start(person: Payer, choice: Choice, back: str) -> str:
    """Return where somebody subscribes; `back` is our path for who does not.

    Raises Conflict for who has a subscription, InvalidInput for what is not sold.
    """
    rail = next((name for name in offered_rails() if name in store.keepers()), None)
    if rail is None:
        raise NotFound("unknown_rail")
    return subscribing.lead_to_page(person, rail, choice, back)


def portal_url(person: Payer, back: str) -> str:
    """Return where a person keeps cards and invoices; it opens for anybody, so it is kept nowhere.

    Raises NotFound for who is no customer.
    """
    with transaction():
        known = {rail: customers.customer_of(person.id, rail) for rail in store.keepers()}
    for rail, customer in known.items():
        if customer is not None:
            back_url = paying.site_url(back)
            return store.keeper(rail).portal(customer, back_url, person.language)
    raise NotFound("unknown_customer")


def preview_change(user_id: int, choice: Choice) -> Preview:
    """Say what another choice costs, and when it begins to hold."""
    return changing.preview(user_id, choice)


def change(user_id: int, choice: Choice, token: str) -> str | None:
    """Order what was shown; return where the owner has to pay, if anything waits for that."""
    return changing.change(user_id, choice, token)


def cancel(user_id: int) -> None:
    """Let a subscription end with what is paid; one that nothing was paid for ends at once."""
    with transaction():
        row = store.own(user_id)
        verb = Verb.END_LATER if _has_period(row) else Verb.END_NOW
        command_id = _order(row, verb)
    commands.send(command_id)


def undo_cancel(user_id: int) -> None:
    """Let a subscription go on as it is: not to end, and not to change with the period."""
    with transaction():
        row = store.own(user_id)
        _refuse_leaver(user_id)
        command_id = _order(row, Verb.GO_ON)
    commands.send(command_id)


def pause(user_id: int) -> None:
    """Have no money collected; what is paid already is still given."""
    with transaction():
        row = store.own(user_id)
        if row.state not in _RUNNING or row.cancel_at is not None:
            raise Conflict("subscription_moved")
        command_id = _order(row, Verb.PAUSE)
    commands.send(command_id)


def resume(user_id: int) -> None:
    """Have money collected again; what was paused for want of a card begins a new period."""
    with transaction():
        row = store.own(user_id)
        _refuse_leaver(user_id)
        if row.state != _PAUSED and not row.is_collection_paused:
            raise Conflict("subscription_moved")
        command_id = _order(row, Verb.RESUME)
    commands.send(command_id)


def _order(row: RailSubscription, verb: Verb) -> int:
    return commands.order(row.user_id, row.rail, row.external_id, verb)


def _has_period(row: RailSubscription) -> bool:
    """Tell whether there is a paid time at whose end it may end."""
    late = RailSubscriptionState.PAST_DUE.value
    return row.state in {*_RUNNING, late}


def _refuse_leaver(user_id: int) -> None:
    if deletion.is_leaving(user_id):
        raise Conflict("account_is_leaving")
