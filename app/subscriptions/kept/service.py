"""Verbs of a subscription that we keep: begin, change, cancel, think better of it."""

from datetime import datetime, timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app.accounts import queries as people
from app.accounts.deletion import service as deletion
from app.accounts.locks import lock_person
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput, NotFound
from app.i18n import written_for
from app.money import Money
from app.payments import checkouts, invoices
from app.payments import service as payments
from app.payments.rules import Line, NewInvoice
from app.subscriptions import history, queries, seats
from app.subscriptions.kept import baskets, changes, discounts, rules, store
from app.subscriptions.kept.baskets import Basket
from app.subscriptions.kept.changes import Change, ChangeKind
from app.subscriptions.kept.rules import Event, InvoiceKind, Reason
from app.subscriptions.kept.store import Held, hold_live, writing
from app.subscriptions.models import (
    KeptState,
    KeptSubscription,
    Plan,
    SubscriptionItem,
)
from app.subscriptions.promotions import queries as codes
from app.subscriptions.promotions import service as promotions
from app.subscriptions.promotions.rules import normal
from app.subscriptions.seeds import CURRENCY
from app.subscriptions.terms import Choice, Discount, Preview, PreviewLine

MAX_KEY = 100
MAX_RAIL = 40


def quote(user_id: int, choice: Choice) -> Preview:
    """Say what a choice costs somebody who has no subscription."""
    now = utc_now()
    basket = baskets.choose(choice, CURRENCY, now)
    seats.check(basket.items, *_orders_of(user_id))
    discount = codes.discount_for(user_id, choice)
    trial = _trial_of(user_id, basket)
    lines = [PreviewLine(line.description, line.amount) for line in _first_lines(basket, now)]
    total = basket.total
    if discount is not None:
        off = discount.off(total)
        lines.append(PreviewLine(_("Code %(code)s", code=discount.code), -off))
        total -= off
    first = now + trial if trial else now
    ends = None if basket.period.is_endless else basket.period.after(first)
    shown = {"lines": lines, "trial": trial, "choice": basket.as_dict()}
    return Preview(
        lines=tuple(lines),
        due_now=Money(total.amount * 0, total.currency) if trial else total,
        next_charge=total if trial else (_second(basket, discount) if ends else None),
        next_at=first if trial else ends,
        takes_effect=now,
        token=rules.token_of(now, shown),
    )


def _orders_of(user_id: int) -> list[str]:
    """Return what may hold seats for somebody already: another order takes its place."""
    page, live = seats.page_of(user_id), store.live_id(user_id)
    return [page, store.source_of_id(live)] if live is not None else [page]


def _second(basket: Basket, discount: Discount | None) -> Money:
    """Return what the second period costs."""
    lowered = discount is not None and discount.holds(2)
    return basket.total - discount.off(basket.total) if discount and lowered else basket.total


def start(
    user_id: int,
    choice: Choice,
    rail: str,
    key: str,
    *,
    actor_id: int | None = None,
    notify: bool = False,
) -> int | None:
    """Begin a subscription and return the invoice to be paid first; None: nothing is to be paid.

    The same key again, or the same choice while it is not paid yet, returns the same invoice;
    another choice takes its place. Raises Conflict: subscription_exists, sold_out, and what
    `promotions.reserve` has against a code.
    """
    if not 0 < len(key) <= MAX_KEY or not 0 < len(rail) <= MAX_RAIL or "\x00" in key + rail:
        raise InvalidInput("bad_subscription_key", field="key")
    known = _known(key)
    if known is not None:
        return _begun(known, user_id)
    now = utc_now()
    basket = baskets.choose(choice, CURRENCY, now)
    # Whatever else begins a plan for this person waits here, or is seen here.
    lock_person(user_id)
    # A click that waited here takes nothing back that was chosen since its order was stored.
    known = _known(key)
    if known is not None:
        return _begun(known, user_id)
    order = _open_order(user_id)
    _refuse_second(user_id)
    if order is not None:
        if order.invoice is not None and _is_same_order(order.kept, basket, choice.promo):
            order.kept.rail = rail
            return order.invoice.id
        end_now(order, Event.CANCELED, cause="chose_again", actor_id=actor_id)
    if store.live_id(user_id) is not None:
        raise Conflict("ordered_elsewhere")
    seats.take(basket.items)
    kept = _store(user_id, basket, rail, key, now)
    if choice.promo.strip():
        source = store.source_of(kept)
        promotions.reserve(user_id, choice.promo, choice, source, over=checkouts.PREFIX)
    return _begin(kept, basket, actor_id, notify)


def withdraw(user_id: int, *, cause: str = "chose_again") -> None:
    """Take back an order that nobody has paid; without one nothing happens.

    Raises Conflict once it is paid.
    """
    order = _open_order(user_id)
    if order is not None:
        end_now(order, Event.CANCELED, cause=cause)


def _open_order(user_id: int) -> Held | None:
    """Return an order that is not paid, under its locks; raise Conflict if it is, by now."""
    present = store.live_id(user_id)
    if present is None:
        return None
    held = store.hold(present)
    if held.kept.state == KeptState.ENDED:
        return None
    if held.kept.state != KeptState.INCOMPLETE:
        raise Conflict("subscription_exists")
    return held


def _known(key: str) -> KeptSubscription | None:
    return db.session.scalar(select(KeptSubscription).where(KeptSubscription.key == key))


def _is_same_order(kept: KeptSubscription, basket: Basket, promo: str) -> bool:
    same_code = codes.code_of(store.source_of(kept)) == normal(promo)
    return same_code and baskets.present_of(kept).same_as(basket)


def _begun(kept: KeptSubscription, user_id: int) -> int | None:
    if kept.user_id != user_id:
        raise Conflict("subscription_moved")
    return store.open_invoice_id(kept.id)


def _refuse_second(user_id: int) -> None:
    if deletion.is_leaving(user_id):
        raise Conflict("account_is_leaving")
    if store.lives_at_provider(user_id):
        raise Conflict("subscription_exists")


def _store(user_id: int, basket: Basket, rail: str, key: str, now: datetime) -> KeptSubscription:
    made = KeptSubscription(
        key=key,
        user_id=user_id,
        rail=rail,
        state=KeptState.INCOMPLETE.value,
        period=basket.period.code,
        currency=basket.currency,
        started_at=now,
    )
    db.session.add(made)
    db.session.flush()
    for item in basket.items:
        db.session.add(
            SubscriptionItem(kept_id=made.id, price_id=item.price_id, quantity=item.quantity)
        )
    db.session.flush()
    return store.lock(made.id)


def _begin(
    kept: KeptSubscription,
    basket: Basket,
    actor_id: int | None,
    notify: bool,
) -> int | None:
    """Let a trial begin, or issue the first invoice."""
    now = kept.started_at
    trial = _trial_of(kept.user_id, basket)
    if trial:
        with writing(kept, "trial", cause="asked", actor_id=actor_id):
            kept.state = KeptState.TRIALING.value
            kept.period_start, kept.period_end = now, now + trial
            kept.trial_end = kept.anchor = kept.period_end
        return None
    history.note(
        kept.user_id,
        store.source_of(kept),
        "ordered",
        after=basket.as_dict(),
        actor_id=actor_id,
        cause="asked",
    )
    discount, discount_name = discounts.of_next(kept, basket)
    invoice = payments.issue(
        NewInvoice(
            key=store.reason_of_next(kept).key,
            user_id=kept.user_id,
            lines=_in_language(kept.user_id, basket, now),
            discount=discount,
            discount_name=discount_name,
            due_at=now + rules.PATIENCE,
            kept_id=kept.id,
        ),
        "ordered",
        notify=notify,
    )
    return invoice.id if invoice.paid_at is None else None


def _in_language(user_id: int, basket: Basket, now: datetime) -> tuple[Line, ...]:
    with written_for(people.user_by_id(user_id)):
        return _first_lines(basket, now)


def _first_lines(basket: Basket, now: datetime) -> tuple[Line, ...]:
    ends = None if basket.period.is_endless else basket.period.after(now)
    return baskets.period_lines(basket, now, ends)


def _trial_of(user_id: int, basket: Basket) -> timedelta | None:
    """Return for how long somebody may try this: a plan alone, once a person, never for life."""
    plan = basket.plan
    if plan is None or basket.addons or basket.period.is_endless or queries.has_tried(user_id):
        return None
    days = db.session.get_one(Plan, plan.plan_code).trial_days
    return timedelta(days=days) if days else None


def preview_change(user_id: int, choice: Choice) -> Preview:
    """Say what another choice costs and when it begins to hold."""
    now = utc_now().replace(microsecond=0)
    kept = store.live(user_id)
    if kept is None:
        raise NotFound("no_subscription")
    change = changes.plan_change(kept, choice, now)
    had = baskets.present_of(kept).items
    seats.check(change.basket.items, store.source_of(kept), had=had)
    return _preview(kept, change, now)


def _preview(kept: KeptSubscription, change: Change, at: datetime) -> Preview:
    lines = baskets.lines_of_change(change.lines, at, kept.period_end)
    endless = change.basket.period.is_endless
    following = baskets.as_follows(kept, change.basket)
    return Preview(
        lines=tuple(PreviewLine(line.description, line.amount) for line in lines),
        due_now=change.due,
        next_charge=None if endless else discounts.next_sum(kept, following),
        next_at=None if endless else kept.period_end,
        takes_effect=change.takes_effect,
        token=_token(kept, change, at),
    )


def _token(kept: KeptSubscription, change: Change, at: datetime) -> str:
    shown: dict[str, Any] = {
        "subscription": [kept.id, kept.number, kept.revision, kept.state],
        "kind": change.kind,
        "basket": change.basket.as_dict(),
        "items": sorted(rules.as_counts(change.basket.items).items()),
        "lines": [str(line.money.amount) for line in change.lines],
        "at": change.takes_effect,
    }
    return rules.token_of(at, shown)


def change(user_id: int, choice: Choice, token: str, *, actor_id: int | None = None) -> int | None:
    """Agree to a change that was shown; return the invoice on which it waits, if it costs at once.

    Raises Conflict preview_changed where what was shown does not hold any more.
    """
    held = hold_live(user_id)
    kept = held.kept
    if kept.pending is not None and kept.pending["token"] == token and held.invoice is not None:
        return held.invoice.id
    at = rules.moment_of(token, utc_now())
    wanted = changes.plan_change(kept, choice, at)
    if _token(kept, wanted, at) != token:
        raise Conflict("preview_changed")
    take_back(held, "changed")
    seats.take(
        wanted.basket.items, holder=store.source_of(kept), had=baskets.present_of(kept).items
    )
    if wanted.kind is ChangeKind.LATER and kept.period_end is not None:
        with writing(kept, "change_planned", cause="asked", actor_id=actor_id):
            baskets.put_next(kept, wanted.basket, kept.period_end)
        return None
    if wanted.kind is ChangeKind.BACK:
        with writing(kept, "change_dropped", cause="asked", actor_id=actor_id):
            baskets.forget_next(kept)
        return None
    return _ask_for_change(kept, wanted, at, token)


def _ask_for_change(kept: KeptSubscription, wanted: Change, at: datetime, token: str) -> int | None:
    kept.pending = {
        "token": token,
        "period": wanted.basket.period.code,
        "items": [[item.price_id, item.quantity] for item in wanted.basket.items],
    }
    db.session.flush()
    endless = wanted.basket.period.is_endless
    with written_for(people.user_by_id(kept.user_id)):
        lines = baskets.lines_of_change(wanted.lines, at, None if endless else kept.period_end)
    due_at = utc_now() + rules.PATIENCE
    invoice = payments.issue(
        NewInvoice(
            key=Reason(kept.id, InvoiceKind.CHANGE, kept.number, kept.revision).key,
            user_id=kept.user_id,
            lines=lines,
            due_at=min(due_at, kept.period_end) if kept.period_end else due_at,
            kept_id=kept.id,
        ),
        "changed",
    )
    return invoice.id if invoice.paid_at is None else None


def cancel(
    user_id: int, *, actor_id: int | None = None, cause: str = "asked", at_once: bool = False
) -> None:
    """Let a subscription end with what is paid for; what was never paid, or is overdue, ends now.

    Again: nothing.
    """
    held = hold_live(user_id)
    kept = held.kept
    unpaid = kept.state in {KeptState.INCOMPLETE, KeptState.PAST_DUE}
    if unpaid or at_once:
        end_now(held, Event.CANCELED, cause=cause, actor_id=actor_id)
        return
    if kept.period_end is None:
        raise Conflict("subscription_for_life")
    if not kept.cancel_at_period_end:
        take_back(held, "canceled")
        with writing(kept, "canceled", cause=cause, actor_id=actor_id):
            # What is planned for the next period stays: thinking better of it brings it back.
            kept.cancel_at_period_end = True


def undo_cancel(user_id: int, *, actor_id: int | None = None) -> None:
    """Let a subscription that was to end go on. Again: nothing."""
    kept = hold_live(user_id).kept
    if not kept.cancel_at_period_end:
        return
    if kept.period_end is None or kept.period_end <= utc_now():
        raise Conflict("subscription_moved")
    with writing(kept, "resumed", cause="asked", actor_id=actor_id):
        kept.cancel_at_period_end = False


def end_for_leaver(user_id: int) -> None:
    """End the subscription of somebody whose account is erased; without one nothing happens."""
    kept_id = store.live_id(user_id)
    if kept_id is not None:
        end_now(store.hold(kept_id), Event.CANCELED, cause="left")


def end_now(
    held: Held, event: Event, *, cause: str, actor_id: int | None = None, give_up: bool = False
) -> None:
    """End a subscription and take its open invoice back, or give it up so that it may be paid."""
    kept = held.kept
    with writing(kept, "ended", cause=cause, actor_id=actor_id):
        store.move(kept, event, utc_now())
    if held.invoice is not None and give_up:
        invoices.give_up(held.invoice, cause, actor_id=actor_id)
    elif held.invoice is not None:
        invoices.void(held.invoice, cause, actor_id=actor_id)


def take_back(held: Held, cause: str) -> None:
    """Void the open invoice, because what is asked for is to be another one, or later."""
    held.kept.revision += 1
    held.kept.pending = None
    db.session.flush()
    if held.invoice is not None:
        invoices.void(held.invoice, cause)
