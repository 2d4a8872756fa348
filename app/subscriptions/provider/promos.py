"""Promotion codes of ours at a provider: made there by themselves, and ended when ours end.

Ours are the master. The calls stand between transactions of their own.
"""

import logging
from collections.abc import Iterable

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from app.accounts import audit
from app.adapters.payments.keeping import PromoOrder
from app.db import db, utc_now
from app.errors import DomainError, InvalidInput, NotFound, Unavailable
from app.payments.drain import pause_after
from app.payments.models import Invoice
from app.payments.queries import offered_rails
from app.payments.rules import InvoiceState
from app.queues import QueueName, enqueue_once
from app.subscriptions.models import PlanPrice, RailSubscription
from app.subscriptions.periods import Period
from app.subscriptions.promotions import queries as codes
from app.subscriptions.promotions import rules
from app.subscriptions.promotions import service as promotions
from app.subscriptions.promotions.models import PromoCode, PromoRedemption, RedemptionState
from app.subscriptions.provider import beside, prices, store
from app.subscriptions.provider.models import PromoState, RailPromo
from app.subscriptions.terms import Choice, Discount
from app.transactions import after_commit, transaction

log = logging.getLogger(__name__)

PUSH_JOB = "app.subscriptions.provider.jobs.push_promos"
BATCH = 50
# Codes that are pushed, at once in one look.
MOST_CODES = 500
_DUE = (PromoState.WAITING.value, PromoState.ENDING.value)


def months_of(discount: Discount, choice: Choice, trial_days: int) -> int:
    """Return for how many months a code is to hold at a provider; 0: as often as it says itself.

    Raises InvalidInput for what can't be said there.
    """
    months = rules.months_there(discount, choice.period, trial_days)
    if months is None:
        raise InvalidInput("promo_not_by_rail", field="promo")
    return months


def ensure(rail: str, code: str, months: int) -> str:
    """Return what a provider calls a code of ours; one that it does not know is made there."""
    with transaction():
        code_id = codes.by_code(code).id
        _want(rail, [(code_id, months)])
        row = _of(rail, code_id, months)
        if row.state == PromoState.MADE and row.external_id:
            return row.external_id
        row.state, promo_id = PromoState.WAITING.value, row.id
    _carry_out(promo_id)
    with transaction():
        row = _of(rail, code_id, months)
        if row.external_id is None:
            raise Unavailable("rail_unavailable")
        return row.external_id


def doubt(rail: str, external_id: str) -> None:
    """Have a code made anew that its provider has just refused."""
    db.session.execute(
        update(RailPromo)
        .where(
            RailPromo.rail == rail,
            RailPromo.external_id == external_id,
            RailPromo.state == PromoState.MADE.value,
        )
        .values(state=PromoState.WAITING.value, due_at=utc_now(), round=RailPromo.round + 1)
    )


def push() -> None:
    """Make what is missing at the providers, and end what has ended; any number of times."""
    with transaction():
        for rail in set(store.keepers()) & set(offered_rails()):
            _want(rail, _sold())
        _follow()
    with transaction():
        query = (
            select(RailPromo.id)
            .where(RailPromo.state.in_(_DUE), RailPromo.due_at <= utc_now())
            .where(RailPromo.rail.in_(store.keepers()))
            .order_by(RailPromo.due_at)
            .limit(BATCH)
        )
        ids = list(db.session.scalars(query))
    for promo_id in ids:
        try:
            _carry_out(promo_id)
        except DomainError as error:
            log.warning("promo_not_pushed promo=%s error=%s", promo_id, error.code)


def retry(actor_id: int, promo_id: int) -> int:
    """Ask a provider again about a code, and return that; audited. Raises NotFound for no row."""
    row = _locked(promo_id)
    if row is None:
        raise NotFound("unknown_promo")
    row.state = (PromoState.WAITING if _holds(row.code_id) else PromoState.ENDING).value
    row.due_at, row.attempts, row.round = utc_now(), 0, row.round + 1
    db.session.flush()
    audit.record(
        "promo.pushed",
        "promo_code",
        row.code_id,
        actor_id=actor_id,
        after={"rail": row.rail, "months": row.months},
    )
    after_commit(lambda: enqueue_once(QueueName.PAYMENTS, PUSH_JOB, key="push-promo-codes"))
    return row.code_id


def follow(row: RailSubscription) -> None:
    """Note what became of the code of a subscription: used once something is paid, or given back.

    Any number of times and in any order.
    """
    if not row.reference:
        return
    paid = select(Invoice.id).where(
        Invoice.rail == row.rail,
        Invoice.subscription_ref == row.external_id,
        Invoice.state == InvoiceState.PAID.value,
        # That of the days to try is for nothing; one that a code brings to nothing is not.
        Invoice.subtotal > 0,
    )
    if beside.is_refused(row.user_id, row.rail, row.external_id):
        promotions.release(row.reference)
    elif db.session.scalar(paid.limit(1)) is not None:
        promotions.use(row.reference)
    elif row.state in store.OVER:
        promotions.release(row.reference)


def follow_paid(invoice_id: int) -> None:
    """Note that a code is used whose subscription a provider's invoice was for."""
    invoice = db.session.get_one(Invoice, invoice_id)
    if invoice.subscription_ref is None:
        return
    row = db.session.scalar(
        select(RailSubscription).where(
            RailSubscription.rail == invoice.rail,
            RailSubscription.external_id == invoice.subscription_ref,
        )
    )
    if row is not None:
        follow(row)


def not_for(row: RailSubscription, plan: str | None, period: Period) -> tuple[str, ...]:
    """Return what a provider calls the code of a subscription that does not hold for a choice."""
    if not row.reference or codes.goes_on(row.reference, plan, period.code):
        return ()
    query = (
        select(RailPromo.external_id)
        .join(PromoRedemption, PromoRedemption.code_id == RailPromo.code_id)
        .where(PromoRedemption.key == row.reference, RailPromo.rail == row.rail)
        .where(RailPromo.external_id.is_not(None))
        .order_by(RailPromo.id)
    )
    return tuple(name for name in db.session.scalars(query) if name)


def _sold() -> list[tuple[int, int]]:
    """Return the codes that can be used now, each with the months of what is on sale."""
    query = select(PlanPrice.period).where(PlanPrice.id.in_(prices.on_sale())).distinct()
    periods = [Period.parse(code) for code in db.session.scalars(query)]
    live = select(PromoCode).where(_is_live()).order_by(PromoCode.id.desc()).limit(MOST_CODES)
    found = set()
    for promo in db.session.scalars(live):
        discount = codes.terms_of(promo).discount
        for period in periods:
            months = rules.months_there(discount, period, 0)
            if months is not None:
                found.add((promo.id, months))
    return sorted(found)


def _want(rail: str, wanted: Iterable[tuple[int, int]]) -> None:
    known = db.session.execute(
        select(RailPromo.code_id, RailPromo.months).where(RailPromo.rail == rail)
    )
    missing = set(wanted) - {(code_id, months) for code_id, months in known}
    values = [{"rail": rail, "code_id": code_id, "months": months} for code_id, months in missing]
    if values:
        db.session.execute(insert(RailPromo).values(values).on_conflict_do_nothing())


def _follow() -> None:
    """Have ended what is made of codes that ended, and made again what holds again."""
    over = select(PromoCode.id).where(~_is_live())
    # Who has ordered with it already is still to get it.
    waited_for = select(PromoRedemption.code_id).where(
        PromoRedemption.state == RedemptionState.RESERVED.value
    )
    now = utc_now()
    never_made = and_(RailPromo.state == PromoState.WAITING.value, RailPromo.external_id.is_(None))
    is_over = RailPromo.code_id.in_(over)
    changes = (
        (and_(is_over, never_made), PromoState.ENDED),
        (
            and_(
                is_over,
                RailPromo.state.in_((PromoState.MADE.value, PromoState.WAITING.value)),
                RailPromo.code_id.not_in(waited_for),
            ),
            PromoState.ENDING,
        ),
        (
            and_(
                ~is_over,
                RailPromo.state.in_((PromoState.ENDING.value, PromoState.ENDED.value)),
            ),
            PromoState.WAITING,
        ),
    )
    for condition, state in changes:
        db.session.execute(
            update(RailPromo)
            .where(condition)
            .values(state=state.value, due_at=now, attempts=0, round=RailPromo.round + 1)
            .execution_options(synchronize_session=False)
        )


def _is_live() -> ColumnElement[bool]:
    ends = or_(PromoCode.expires_at.is_(None), PromoCode.expires_at > func.now())
    return and_(PromoCode.active, ends)


def _holds(code_id: int) -> bool:
    return (
        db.session.scalar(select(PromoCode.id).where(PromoCode.id == code_id, _is_live()))
        is not None
    )


def _carry_out(promo_id: int) -> None:
    """Ask a provider to make or to end a code; raise what it answers, which its row tells too."""
    with transaction():
        row = _locked(promo_id)
        if row is None or row.state not in _DUE:
            return
        rail, key = row.rail, f"promo:{row.id}:{row.round}"
        ends = row.external_id if row.state == PromoState.ENDING else None
        order = _order(row, key)
        row.attempts += 1
        row.due_at = utc_now() + pause_after(row.attempts)
    try:
        if ends is not None:
            store.keeper(rail).end_promo(ends, key)
            made = ends
        else:
            made = store.keeper(rail).make_promo(order)
    except DomainError as error:
        with transaction():
            _note_failure(promo_id, error)
        raise
    with transaction():
        row = _locked(promo_id)
        if row is not None and row.state in _DUE:
            row.state = (PromoState.ENDED if ends is not None else PromoState.MADE).value
            row.external_id, row.error, row.attempts = made, None, 0
            row.round += 1


def _note_failure(promo_id: int, error: DomainError) -> None:
    row = _locked(promo_id)
    if row is None or row.state not in _DUE:
        return
    row.error = error.code
    if not isinstance(error, Unavailable):
        row.state = PromoState.REFUSED.value
    if not isinstance(error, Unavailable) or error.values.get("is_kept"):
        row.round += 1


def _order(row: RailPromo, key: str) -> PromoOrder:
    promo = db.session.get_one(PromoCode, row.code_id)
    discount = codes.terms_of(promo).discount
    return PromoOrder(
        key=key,
        code=promo.code,
        name=rules.name_there(promo.code, row.months),
        percent=discount.percent,
        amount=discount.amount,
        months=row.months,
        is_endless=discount.periods is None,
    )


def _of(rail: str, code_id: int, months: int) -> RailPromo:
    query = select(RailPromo).where(
        RailPromo.rail == rail, RailPromo.code_id == code_id, RailPromo.months == months
    )
    return db.session.scalars(
        query.with_for_update().execution_options(populate_existing=True)
    ).one()


def _locked(promo_id: int) -> RailPromo | None:
    return db.session.get(RailPromo, promo_id, with_for_update=True, populate_existing=True)
