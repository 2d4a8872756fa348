"""What is ours: balance transactions, and what Stripe keeps of each."""

from decimal import ROUND_HALF_UP, Decimal

from tests.doubles.stripe.account import Account
from tests.doubles.stripe.clock import DAY
from tests.doubles.stripe.values import Json

FEE_SHARE = Decimal("0.029")
FEE_FIXED = 30
SETTLES_DAYS = 2


def fee(amount: int) -> int:
    """Return what Stripe keeps of a card payment: 2.9 % and 30 cents."""
    share = (amount * FEE_SHARE).quantize(Decimal(1), ROUND_HALF_UP)
    return int(share) + FEE_FIXED


def movement(
    account: Account, source: str, amount: int, costs: int, kind: str, currency: str
) -> Json:
    """Return a new balance transaction; what Stripe keeps of it is `costs`."""
    category = {"adjustment": "dispute", "refund_failure": "refund_failure"}.get(kind, kind)
    words = {"charge": "Stripe processing fees", "adjustment": "Dispute fee"}
    row = {
        "id": account.id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": account.now + SETTLES_DAYS * DAY,
        "balance_type": "payments",
        "created": account.now,
        "currency": currency,
        "description": None,
        "exchange_rate": None,
        "fee": costs,
        "fee_details": [
            {
                "amount": costs,
                "application": None,
                "currency": currency,
                "description": words.get(kind),
                "type": "stripe_fee",
            }
        ]
        if costs
        else [],
        "net": amount - costs,
        "reporting_category": category,
        "source": source,
        "status": "pending",
        "type": kind,
    }
    return account.add(row)
