"""Verbs that move money between people, rails and our books; each is one posting under a key."""

from collections.abc import Sequence
from decimal import Decimal

from app.accounts import audit
from app.accounts.reasons import checked_reason
from app.errors import InvalidInput
from app.money import Money
from app.wallet import rules
from app.wallet.ledger import Posted, account, lock_available, post
from app.wallet.rules import ZERO, Entry, Line, wallet_of

# What payments and subscriptions call.
__all__ = [
    "exchange",
    "give_fee_back",
    "grant",
    "lose_refund",
    "pay_from_wallet",
    "pay_out",
    "record_fee",
    "refund_to_rail",
    "refund_to_wallet",
    "refund_top_up",
    "settle_payment",
    "top_up",
]

# The rail of what moves inside our books.
WALLET = "wallet"
_EXCHANGE = "clearing:exchange"
_LOST_REFUNDS = "loss:refund"


def top_up(
    key: str,
    user_id: int,
    rail: str,
    money: Money,
    *,
    fee: Decimal = ZERO,
    refs: Sequence[str] = (),
) -> Posted:
    """Book money that came by a rail for a person's wallet; the fee is ours to bear."""
    rules.checked_positive(money.amount, money.currency)
    entries = (
        *_received(rail, money, fee),
        Entry(wallet_of(user_id), money.currency, -money.amount),
    )
    return post(key, "top_up", entries, refs=refs, rail=rail)


def settle_payment(
    key: str,
    user_id: int,
    rail: str,
    money: Money,
    lines: Sequence[Line],
    *,
    tax: Decimal = ZERO,
    fee: Decimal = ZERO,
    refs: Sequence[str] = (),
) -> Posted:
    """Book a payment by a rail for what the lines say; what is left over goes to the wallet."""
    rules.checked_positive(money.amount, money.currency)
    income = rules.income_entries(lines, tax, money.currency)
    surplus = money.amount + rules.total_of(income)
    if surplus < ZERO:
        raise InvalidInput("payment_below_lines", field="amount")
    entries = (
        *_received(rail, money, fee),
        *income,
        Entry(wallet_of(user_id), money.currency, -surplus),
    )
    return post(key, "payment", entries, refs=refs, rail=rail)


def pay_from_wallet(
    key: str,
    user_id: int,
    currency: str,
    lines: Sequence[Line],
    *,
    tax: Decimal = ZERO,
    refs: Sequence[str] = (),
) -> Posted:
    """Pay what the lines say, tax included, from a person's wallet; raise Conflict if it lacks."""
    return post(
        key,
        "wallet_payment",
        wallet_payment(wallet_of(user_id), currency, lines, tax),
        refs=refs,
        rail=WALLET,
    )


def wallet_payment(
    wallet: str, currency: str, lines: Sequence[Line], tax: Decimal
) -> tuple[Entry, ...]:
    """Return the lines of a payment from a wallet."""
    income = rules.income_entries(lines, tax, currency)
    total = rules.checked_positive(-rules.total_of(income), currency)
    return (Entry(wallet, currency, total), *income)


def record_fee(key: str, rail: str, money: Money, *, refs: Sequence[str] = ()) -> Posted:
    """Book a fee that the provider tells after the payment, or takes for something else."""
    rules.checked_positive(money.amount, money.currency)
    entries = (
        Entry(rules.FEES, money.currency, money.amount),
        Entry(f"psp:{rail}", money.currency, -money.amount),
    )
    return post(key, "provider_fee", entries, refs=refs, rail=rail)


def give_fee_back(key: str, rail: str, money: Money, *, refs: Sequence[str] = ()) -> Posted:
    """Book a fee that the provider has given back, as some do with a dispute that was won."""
    rules.checked_positive(money.amount, money.currency)
    entries = (
        Entry(f"psp:{rail}", money.currency, money.amount),
        Entry(rules.FEES, money.currency, -money.amount),
    )
    return post(key, "provider_fee", entries, refs=refs, rail=rail)


def refund_to_wallet(
    key: str, user_id: int, money: Money, *, tax: Decimal = ZERO, refs: Sequence[str] = ()
) -> Posted:
    """Give back to the wallet what somebody paid, `tax` of it included."""
    entries = (
        *_given_back(money, tax),
        Entry(wallet_of(user_id), money.currency, -money.amount),
    )
    return post(key, "refund", entries, refs=refs, rail=WALLET)


def refund_to_rail(
    key: str, rail: str, money: Money, *, tax: Decimal = ZERO, refs: Sequence[str] = ()
) -> Posted:
    """Give back by the rail what somebody paid by it, `tax` of it included."""
    entries = (*_given_back(money, tax), Entry(f"psp:{rail}", money.currency, -money.amount))
    return post(key, "refund", entries, refs=refs, rail=rail)


def refund_top_up(
    key: str, user_id: int, rail: str, money: Money, *, refs: Sequence[str] = ()
) -> Posted:
    """Send money of a wallet back by the rail it came by; raise Conflict if it was spent."""
    rules.checked_positive(money.amount, money.currency)
    entries = (
        Entry(wallet_of(user_id), money.currency, money.amount),
        Entry(f"psp:{rail}", money.currency, -money.amount),
    )
    return post(key, "top_up_refund", entries, refs=refs, rail=rail)


def lose_refund(
    key: str,
    user_id: int,
    rail: str,
    money: Money,
    *,
    from_wallet: bool,
    refs: Sequence[str] = (),
) -> Posted:
    """Book money that went back by a rail though nothing was owed: it is our loss.

    With `from_wallet` the wallet of whoever has it pays as far as it can.
    """
    rules.checked_positive(money.amount, money.currency)
    purse = account(wallet_of(user_id), money.currency)
    free = lock_available(purse.id) if from_wallet else ZERO
    paid = min(max(free, ZERO), money.amount)
    entries = (
        Entry(purse.name, money.currency, paid),
        Entry(_LOST_REFUNDS, money.currency, money.amount - paid),
        Entry(f"psp:{rail}", money.currency, -money.amount),
    )
    return post(key, "lost_refund", entries, refs=refs, rail=rail)


def grant(
    key: str,
    user_id: int,
    money: Money,
    *,
    actor_id: int | None,
    reason: str,
    refs: Sequence[str] = (),
) -> Posted:
    """Give a person money of ours, with a reason; audited."""
    reason = checked_reason(reason)
    rules.checked_positive(money.amount, money.currency)
    entries = (
        Entry("expense:grants", money.currency, money.amount),
        Entry(wallet_of(user_id), money.currency, -money.amount),
    )
    posted = post(
        key, "grant", entries, refs=refs, rail=WALLET, details={"actor": actor_id, "reason": reason}
    )
    if not posted.replayed:
        audit.record(
            "wallet.granted",
            "user",
            user_id,
            actor_id=actor_id,
            after={"amount": str(money.amount), "currency": money.currency, "posting": posted.id},
            reason=reason,
        )
    return posted


def exchange(
    key: str, user_id: int, sell: Money, buy: Money, *, source: str, refs: Sequence[str] = ()
) -> Posted:
    """Change money of a wallet into another currency: both legs at once, through our clearing."""
    if sell.currency == buy.currency:
        raise InvalidInput("same_currency", field="currency")
    for money in (sell, buy):
        rules.checked_positive(money.amount, money.currency)
    wallet = wallet_of(user_id)
    entries = (
        Entry(wallet, sell.currency, sell.amount),
        Entry(_EXCHANGE, sell.currency, -sell.amount),
        Entry(_EXCHANGE, buy.currency, buy.amount),
        Entry(wallet, buy.currency, -buy.amount),
    )
    return post(key, "exchange", entries, refs=refs, rail=WALLET, details={"source": source})


def pay_out(key: str, rail: str, money: Money, *, refs: Sequence[str] = ()) -> Posted:
    """Book what a provider paid out to our bank."""
    rules.checked_positive(money.amount, money.currency)
    entries = (
        Entry("bank:main", money.currency, money.amount),
        Entry(f"psp:{rail}", money.currency, -money.amount),
    )
    return post(key, "payout", entries, refs=refs, rail=rail)


def _received(rail: str, money: Money, fee: Decimal) -> tuple[Entry, ...]:
    """Return what a payment leaves with the provider and what the provider keeps of it."""
    if fee < ZERO or fee > money.amount:
        raise InvalidInput("fee_out_of_range", field="fee")
    return (
        Entry(f"psp:{rail}", money.currency, money.amount - fee),
        Entry(rules.FEES, money.currency, fee),
    )


def _given_back(money: Money, tax: Decimal) -> tuple[Entry, ...]:
    rules.checked_positive(money.amount, money.currency)
    if tax < ZERO or tax > money.amount:
        raise InvalidInput("tax_out_of_range", field="tax")
    return (
        Entry("contra:refunds", money.currency, money.amount - tax),
        Entry("tax:payable", money.currency, tax),
    )
