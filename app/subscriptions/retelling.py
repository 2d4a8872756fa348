"""What happened to a subscription, in whole sentences for its owner and for the desk."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from app.formatting import filters
from app.payments.texts import rail_label
from app.subscriptions.history import Change
from app.subscriptions.rights import STAFF
from app.subscriptions.wording import sold_label

Picture = Mapping[str, Any]

# What happened, by the words of `history.note`; where the cause says more, by both.
CHANGES: Mapping[str, LazyString] = {
    "ordered": _l("Ordered: %(now)s."),
    "trial": _l("The free days of %(now)s began."),
    "paid": _l("Paid: %(now)s."),
    "revived": _l("Paid after the end: %(now)s begins anew."),
    "changed": _l("Changed from %(before)s to %(now)s."),
    "change_planned": _l("From the next period on: %(next)s."),
    "change_dropped": _l("The planned change was dropped."),
    "canceled": _l("Cancelled: %(now)s ends with what is paid."),
    "resumed": _l("The cancellation was taken back."),
    "past_due": _l("The payment was overdue."),
    "ended": _l("%(now)s ended."),
    "ended:unpaid": _l("%(now)s ended, because the payment did not come."),
    "ended:trial_over": _l("The free days of %(now)s are over; nobody paid for more."),
    "ended:chose_again": _l("The order of %(now)s gave way to another one."),
    "ended:other_subscription": _l(
        "%(now)s did not begin beside another subscription; what was paid is in the wallet."
    ),
    "way_changed": _l("The next periods are paid by another way: %(rail)s."),
    "put_off": _l(
        "Nobody asked for the money in time: the missed time is not charged, and the next period "
        "of %(now)s begins here."
    ),
    "given": _l("%(now)s was given by staff, without an end."),
    "given:until": _l("%(now)s was given by staff until %(until)s."),
    "set_aside": _l("%(now)s, given by staff, waits while as much or more is paid for."),
    "back": _l("%(now)s, given by staff, holds again."),
    "back:until": _l("%(now)s, given by staff, holds again until %(until)s."),
    "days_given": _l("Days were given by staff: %(now)s goes on until %(end)s."),
    "repriced": _l(
        "From the next period on %(now)s costs what was asked on the day of the return."
    ),
    "ended:staff": _l("%(now)s was ended by staff."),
    "began": _l("%(now)s began; the card provider keeps it."),
    "began:incomplete": _l("Ordered at the card provider; the first payment is open."),
    "began:trialing": _l("The free days of %(now)s began; the card provider keeps it."),
    "began:other_subscription": _l(
        "A second subscription began at the card provider beside this one: it ends, and what was "
        "paid for it is in the wallet."
    ),
}
# What the provider said of the state that follows.
STATES: Mapping[str, LazyString] = {
    "active": _l("Paid: %(now)s."),
    "trialing": _l("The free days of %(now)s began."),
    "past_due": _l("The payment was overdue."),
    "unpaid": _l("The payment did not come, and the provider asks no more."),
    "paused": _l("Paused: nothing is charged, and nothing is given."),
    "incomplete": _l("The first payment is open."),
    "incomplete_expired": _l("The first payment never came; the order is over."),
    "canceled": _l("%(now)s ended."),
}
OTHER = _l("Something else was told by the card provider.")
NOTHING = "—"


def change_words(change: Change) -> str:
    """Say what happened to a subscription."""
    if change.what == "moved":
        return " ".join(_moved(change.before or {}, change.after or {})) or str(OTHER)
    keys = (f"{change.what}:{_detail(change)}", change.what)
    text = next((CHANGES[key] for key in keys if key in CHANGES), OTHER)
    return str(text) % _values(change.before or {}, change.after or {})


def contents(picture: Picture) -> str:
    """Name what a subscription holds, as it was noted: a plan and how many of each add-on."""
    plan = picture.get("plan")
    addons = [f"{count} × {sold_label(code)}" for code, count in picture.get("addons", {}).items()]
    return ", ".join([*([sold_label(plan)] if plan else []), *addons]) or NOTHING


def _detail(change: Change) -> str:
    """Return which of several sentences about the same thing is meant."""
    after = change.after or {}
    if change.cause == "other_subscription":
        return change.cause
    if change.what == "began":
        return str(after.get("state"))
    if change.source == STAFF:
        is_timed = change.what in {"given", "back"} and after.get("ends_at")
        return "until" if is_timed else STAFF
    return change.cause


def _values(before: Picture, after: Picture) -> dict[str, str]:
    # What has ended names what it was.
    now = contents(after)
    return {
        "now": contents(before) if now == NOTHING else now,
        "before": contents(before),
        "next": contents(after.get("next") or {}),
        "rail": rail_label(str(after.get("rail", ""))),
        "until": _day(after.get("ends_at")),
        "end": _day(after.get("period_end")),
    }


def _moved(before: Picture, after: Picture) -> Iterator[str]:
    """Say what the provider has told, a sentence for each thing that is another one now."""
    values = _values(before, after)
    state = after.get("state")
    is_new_state = state != before.get("state")
    if is_new_state:
        yield str(STATES.get(str(state), OTHER)) % values
    if state in {"canceled", "incomplete_expired"}:
        return
    if NOTHING not in {contents(before), contents(after)} and contents(before) != contents(after):
        yield str(CHANGES["changed"]) % values
    yield from _moved_dates(before, after, values["now"], is_new_state)
    if before.get("paused") != after.get("paused"):
        yield (
            _("The charges are paused; what is paid for still holds.")
            if after.get("paused")
            else _("The charges go on.")
        )
    if before.get("waits_for_payment") != after.get("waits_for_payment"):
        yield (
            _("A change waits for its payment.")
            if after.get("waits_for_payment")
            else _("No change waits for a payment any more.")
        )


def _moved_dates(before: Picture, after: Picture, now: str, is_new_state: bool) -> Iterator[str]:
    if before.get("cancel_at") != after.get("cancel_at"):
        day = _day(after.get("cancel_at"))
        if day:
            yield _("Cancelled: %(now)s ends on %(day)s.", now=now, day=day)
        else:
            yield str(CHANGES["resumed"])
    if before.get("trial_end") != after.get("trial_end") and after.get("trial_end"):
        yield _("The free days last until %(day)s.", day=_day(after["trial_end"]))
    elif before.get("period_end") != after.get("period_end") and not is_new_state:
        yield _("%(now)s goes on until %(day)s.", now=now, day=_day(after.get("period_end")))


def _day(moment: str | None) -> str:
    return filters.day(datetime.fromisoformat(moment)) if moment else ""


FILTERS = {"change_words": change_words}
