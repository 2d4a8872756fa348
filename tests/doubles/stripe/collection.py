"""What an invoice's payment, or a try that failed, does to its subscription."""

from tests.doubles.stripe import invoices, payments, subscriptions
from tests.doubles.stripe.account import Account
from tests.doubles.stripe.clock import DAY
from tests.doubles.stripe.values import Json


def paid(account: Account, invoice: Json) -> None:
    """Have the subscription of a paid invoice go on."""
    row = invoices.subscription_of(account, invoice)
    if row is None or row["status"] in subscriptions.ENDED:
        return
    known = account.hidden[invoice["id"]]
    if "update" in known:
        _apply_update(account, row, known.pop("update"))
    if known.pop("resumes", False) and row["status"] == "paused":
        subscriptions.resumed(account, row)
    first = row["status"] == "incomplete"
    late = row["status"] in {"past_due", "unpaid"} and row["latest_invoice"] == invoice["id"]
    if first or late:
        account.touch(row)["status"] = "active"


def _apply_update(account: Account, row: Json, held: Json) -> None:
    waited = row["pending_update"] is not None
    account.touch(row)["pending_update"] = None
    subscriptions.apply(account, row, held["items"], held["anchor"])
    row["discounts"] = held.get("discounts", row["discounts"])
    account.hidden[row["id"]].pop("waits_for", None)
    if waited:
        account.settle(row)
        account.tell("customer.subscription.pending_update_applied", row)


def expire_update(account: Account, row: Json) -> None:
    """Forget a change that nobody paid for."""
    name = account.hidden[row["id"]].pop("waits_for", None)
    account.touch(row)["pending_update"] = None
    if name and account.objects[name]["status"] == "open":
        account.hidden[name].pop("update", None)
        invoices.void(account, account.objects[name])
    account.settle(row)
    account.tell("customer.subscription.pending_update_expired", row)


def failed(account: Account, invoice: Json, done: str, *, manual: bool) -> None:
    """Tell of a try that failed, and say when the next one is."""
    row = invoices.subscription_of(account, invoice)
    first = row is not None and row["status"] == "incomplete"
    held = "update" in account.hidden[invoice["id"]]
    if row is not None and held and row["pending_update"] is None:
        subscriptions.wait_for_payment(account, row, invoice)
    over = False
    if row is not None and not (first or held or manual):
        over = not _schedule(account, invoice)
    customer = account.touch(account.objects[invoice["customer"]])
    customer["delinquent"] = True
    account.settle(invoice)
    if not (first and done == payments.ASKS):
        account.tell("invoice.payment_failed", invoice)
    if done == payments.ASKS:
        account.tell("invoice.payment_action_required", invoice)
    if row is None or first or held:
        return
    if row["status"] in {"active", "trialing"}:
        account.touch(row)["status"] = "past_due"
    if over:
        account.settle(row)
        _give_up(account, row, invoice)


def _schedule(account: Account, invoice: Json) -> bool:
    """Say when the next try is; return False if that was the last."""
    days = account.settings.retry_days
    tried = invoice["attempt_count"]
    if tried > len(days):
        invoice["next_payment_attempt"] = None
        return False
    invoice["next_payment_attempt"] = account.now + days[tried - 1] * DAY
    return True


def _give_up(account: Account, row: Json, invoice: Json) -> None:
    settings = account.settings
    if settings.invoice_after_dunning == "uncollectible":
        invoices.mark_uncollectible(account, invoice)
    if settings.dunning_end == "cancel":
        subscriptions.end(account, row, "payment_failed")
    elif settings.dunning_end == "unpaid":
        account.touch(row)["status"] = "unpaid"
