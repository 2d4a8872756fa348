"""Money that is under way for long: debits and vouchers take days, and so may their news.

The callback that ends a payment may never come, or die at our door. So the rail is asked: for
payments of ours, and for the open invoices that it keeps itself.
"""

from datetime import datetime, timedelta

from sqlalchemy import func, select

from app.adapters.payments.port import Ref
from app.db import db
from app.payments.models import Invoice, Payment
from app.payments.rules import InvoiceState, PaymentState

# By then what a card can tell has come.
SLOW_AFTER = timedelta(hours=1)
# No way to pay takes longer.
GIVEN_UP_AFTER = timedelta(days=30)
# So few calls that callbacks in the same worker do not wait for long.
BATCH = 20


def under_way(now: datetime) -> list[tuple[str, Ref]]:
    """Return some of what rails have to be asked about.

    In no order: those that never end don't hold the others up.
    """
    span = now - GIVEN_UP_AFTER, now - SLOW_AFTER
    payments = select(Payment.rail, Payment.external_id).where(
        Payment.state == PaymentState.PENDING.value, Payment.created_at.between(*span)
    )
    invoices = select(Invoice.rail, Invoice.external_id).where(
        Invoice.state == InvoiceState.OPEN.value,
        Invoice.external_id.is_not(None),
        Invoice.opened_at.between(*span),
    )
    return [
        (rail, Ref(kind, str(external_id)))
        for kind, query in (("payment", payments), ("invoice", invoices))
        for rail, external_id in db.session.execute(query.order_by(func.random()).limit(BATCH))
    ]
