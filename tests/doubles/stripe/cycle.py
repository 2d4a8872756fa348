"""What the clock brings: renewals, ends of trials, retries, and all that runs out."""

from collections.abc import Callable, Iterator
from functools import partial

from tests.doubles.stripe import (
    bank,
    changes,
    checkout,
    collection,
    invoices,
    lines,
    schedules,
    subscriptions,
)
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.clock import DAY
from tests.doubles.stripe.values import Json

Due = tuple[int, Callable[[], object]]
RUNNING = frozenset({"active", "past_due", "unpaid", "trialing"})


def advance(account: Account, until: int) -> None:
    """Move the clock, doing one after the other what falls due on the way."""
    while True:
        due = min(
            (each for each in _due(account) if each[0] <= until), key=lambda each: each[0],
            default=None,
        )  # fmt: skip
        if due is None:
            break
        account.clock.set(max(due[0], account.now))
        with account.working():
            due[1]()
    account.clock.set(max(until, account.now))


def _due(account: Account) -> Iterator[Due]:
    for row in account.every("subscription"):
        if row["status"] not in subscriptions.ENDED:
            yield from _due_of_subscription(account, row)
    for invoice in account.every("invoice"):
        yield from _due_of_invoice(account, invoice)
    for session in account.every("checkout.session", status="open"):
        yield session["expires_at"], partial(checkout.expire, account, session)
    for refund in account.every("refund", status="succeeded"):
        at = account.hidden.get(refund["id"], {}).get("fails_at")
        if at is not None:
            yield at, partial(bank.fail_refund, account, refund)


def _due_of_subscription(account: Account, row: Json) -> Iterator[Due]:
    if row["status"] == "incomplete":
        yield row["created"] + subscriptions.WAITS, lambda: subscriptions.expire(account, row)
        return
    if row["pending_update"] is not None:
        until = row["pending_update"]["expires_at"]
        yield until, lambda: collection.expire_update(account, row)
    pause = row["pause_collection"]
    if pause and pause["resumes_at"] is not None:
        yield pause["resumes_at"], lambda: account.touch(row).update(pause_collection=None)
    if row["cancel_at"] is not None:
        yield row["cancel_at"], lambda: subscriptions.end(account, row, None)
    if row["status"] not in RUNNING:
        return
    known = account.hidden[row["id"]]
    if row["status"] == "trialing":
        if known.get("warned") != row["trial_end"]:
            early = row["trial_end"] - account.settings.trial_will_end_days * DAY
            yield max(early, row["trial_start"]), lambda: _warn_of_trial(account, row)
        yield row["trial_end"], lambda: end_trial(account, row)
        return
    at = min(item["current_period_end"] for item in row["items"]["data"])
    if row["cancel_at"] is None or row["cancel_at"] > at:
        if known.get("upcoming") != at and account.settings.upcoming_days:
            early = at - account.settings.upcoming_days * DAY
            start = max(item["current_period_start"] for item in row["items"]["data"])
            if early > start:
                yield early, lambda: _tell_upcoming(account, row, at)
        yield at, lambda: renew(account, row)


def _due_of_invoice(account: Account, invoice: Json) -> Iterator[Due]:
    if invoice["status"] == "draft" and invoice["automatically_finalizes_at"] is not None:
        yield invoice["automatically_finalizes_at"], lambda: _finalize(account, invoice)
    if invoice["status"] != "open":
        return
    if invoice["next_payment_attempt"] is not None:
        yield invoice["next_payment_attempt"], lambda: _collect(account, invoice)
    collect_at = account.hidden[invoice["id"]].get("collect_at")
    if collect_at is not None:
        yield collect_at, lambda: _collect(account, invoice)
    late = account.hidden[invoice["id"]].get("overdue")
    if invoice["due_date"] is not None and not late:
        yield invoice["due_date"], lambda: _overdue(account, invoice)


def _warn_of_trial(account: Account, row: Json) -> None:
    account.hidden[row["id"]]["warned"] = row["trial_end"]
    account.tell("customer.subscription.trial_will_end", row)


def _tell_upcoming(account: Account, row: Json, at: int) -> None:
    account.hidden[row["id"]]["upcoming"] = at
    told = preview_next(account, row)
    # This invoice does not exist yet: the event of it is the one that has no id.
    del told["id"]
    account.tell("invoice.upcoming", told)


def preview_next(account: Account, row: Json) -> Json:
    """Return the invoice that the next renewal will make."""
    items = row["items"]["data"]
    at = min(item["current_period_end"] for item in items)
    rows = _cycle_lines(account, row, at)
    waiting = invoices.pending_items(account, row["customer"], row["id"])
    rows = [invoices.line_of_item(account, each) for each in waiting] + rows
    plan = invoices.Plan(
        row["customer"],
        rows,
        "upcoming",
        row["currency"],
        row,
        start=items[0]["current_period_start"],
        end=at,
        reductions=changes.reductions(account, row),
        taxed=row["automatic_tax"]["enabled"],
    )
    invoice = invoices.build(account, plan, account.id("upcoming_in"))
    invoice["next_payment_attempt"] = at + account.settings.draft_seconds
    return invoice


def _cycle_lines(account: Account, row: Json, at: int) -> list[lines.Line]:
    told = []
    for item in row["items"]["data"]:
        if item["current_period_end"] <= at:
            end = changes.next_end(item["price"], row["billing_cycle_anchor"], at)
            told.append(lines.period_line(account, row, item, at, end))
    return told


def renew(account: Account, row: Json) -> None:
    """Start the next period and make its invoice."""
    items = row["items"]["data"]
    start = min(item["current_period_start"] for item in items)
    at = min(item["current_period_end"] for item in items)
    account.touch(row)
    schedules.begin_phase(account, row, at)
    rows = _cycle_lines(account, row, at)
    _roll(row, at)
    _bill_cycle(account, row, rows, start, at, at_once=False)


def end_trial(account: Account, row: Json, *, at_once: bool = False) -> None:
    """End a trial: the first paid period starts, or what the owner chose for missing cards."""
    missing = row["trial_settings"]["end_behavior"]["missing_payment_method"]
    automatic = row["collection_method"] == "charge_automatically"
    no_card = automatic and subscriptions.method_of(account, row) is None
    if row["cancel_at"] is not None and row["cancel_at"] <= account.now:
        subscriptions.end(account, row, None)
        return
    if no_card and missing == "cancel":
        subscriptions.end(account, row, None)
        return
    account.touch(row)
    if no_card and missing == "pause":
        row["status"] = "paused"
        row["status_details"] = {
            "paused": {
                "subscription": {"type": "trial_end_without_payment_method"},
                "transitioned_at": account.now,
                "type": "subscription",
            }
        }
        account.settle(row)
        account.tell("customer.subscription.paused", row)
        return
    start = min(item["current_period_start"] for item in row["items"]["data"])
    at = account.now
    row.update(status="active", trial_end=at, billing_cycle_anchor=at)
    schedules.begin_phase(account, row, at)
    for item in row["items"]["data"]:
        item["current_period_end"] = at
    rows = _cycle_lines(account, row, at)
    _roll(row, at)
    _bill_cycle(account, row, rows, start, at, at_once=at_once)


def _roll(row: Json, at: int) -> None:
    for item in row["items"]["data"]:
        if item["current_period_end"] <= at:
            item["current_period_start"] = at
            item["current_period_end"] = changes.next_end(
                item["price"], row["billing_cycle_anchor"], at
            )


def _bill_cycle(
    account: Account, row: Json, rows: list[lines.Line], start: int, at: int, *, at_once: bool
) -> None:
    invoice = subscriptions.bill(account, row, rows, "subscription_cycle", start, at)
    pause = row["pause_collection"]
    if row["status"] == "unpaid" or (pause and pause["behavior"] == "keep_as_draft"):
        account.touch(invoice).update(auto_advance=False, automatically_finalizes_at=None)
    elif pause:
        invoices.finalize(account, invoice)
        if invoice["status"] == "open":
            ends = {"void": invoices.void, "mark_uncollectible": invoices.mark_uncollectible}
            ends[pause["behavior"]](account, invoice)
    elif at_once or account.settings.draft_seconds == 0:
        _finalize(account, invoice)


def _finalize(account: Account, invoice: Json) -> None:
    invoices.finalize(account, invoice)
    automatic = invoice["collection_method"] == "charge_automatically"
    if invoice["status"] == "open" and automatic and invoice["auto_advance"]:
        invoices.collect(account, invoice)


def _collect(account: Account, invoice: Json) -> None:
    account.hidden[invoice["id"]].pop("collect_at", None)
    account.touch(invoice)["next_payment_attempt"] = None
    invoices.collect(account, invoice)


def _overdue(account: Account, invoice: Json) -> None:
    account.hidden[invoice["id"]]["overdue"] = True
    account.tell("invoice.overdue", invoice)
    row = invoices.subscription_of(account, invoice)
    if row is not None and row["status"] == "active":
        account.touch(row)["status"] = "past_due"
