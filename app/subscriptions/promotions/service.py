"""Verbs of promotion codes: make one, switch it off; reserve, use and release it.

All in the transaction of the purchase: a purchase that fails gives its place back. The rows of
codes, for which all buyers wait, are locked last and in the order of their numbers.
"""

from collections import Counter

from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert

from app.accounts import audit
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput, NotFound
from app.subscriptions.models import Plan
from app.subscriptions.promotions import queries, rules
from app.subscriptions.promotions.models import PromoCode, PromoRedemption, RedemptionState
from app.subscriptions.promotions.rules import Terms
from app.subscriptions.seeds import CURRENCY
from app.subscriptions.terms import Choice, Discount
from app.transactions import last_of


class _Counts:
    """The places that a transaction takes or gives back; those of `limited` have to be free."""

    def __init__(self) -> None:
        self.steps: Counter[int] = Counter()
        self.limited: set[int] = set()

    def __call__(self) -> None:
        for code_id, step in sorted(self.steps.items()):
            if step and not _put(code_id, step, limited=step > 0 and code_id in self.limited):
                raise Conflict("promo_taken", field="promo")


def make(actor_id: int | None, terms: Terms) -> int:
    """Make a code and return its number; audited. Raises Conflict where there is one already."""
    rules.check_new(terms, utc_now())
    known = set(db.session.scalars(select(Plan.code)))
    if not known.issuperset(terms.plans):
        raise InvalidInput("unknown_plan", field="plans")
    discount = terms.discount
    values = {
        "code": discount.code,
        "percent": discount.percent,
        "amount": discount.amount.amount if discount.amount else None,
        "currency": discount.amount.currency if discount.amount else None,
        "periods": discount.periods,
        "max_redemptions": terms.max_redemptions,
        "plans": list(terms.plans),
        "expires_at": terms.expires_at,
    }
    made = db.session.scalar(
        insert(PromoCode).values(**values).on_conflict_do_nothing().returning(PromoCode.id)
    )
    if made is None:
        raise Conflict("promo_exists", field="code")
    after = {name: None if value is None else str(value) for name, value in values.items()}
    audit.record("promo.made", "promo_code", made, actor_id=actor_id, after=after)
    return int(made)


def switch(actor_id: int | None, code_id: int, *, active: bool) -> None:
    """Switch a code off for new purchases, or on again; audited. Again: nothing."""
    promo = db.session.get(PromoCode, code_id, with_for_update=True, populate_existing=True)
    if promo is None:
        raise NotFound("unknown_promo")
    if promo.active == active:
        return
    promo.active = active
    db.session.flush()
    audit.record(
        "promo.switched",
        "promo_code",
        code_id,
        actor_id=actor_id,
        before={"code": promo.code, "active": not active},
        after={"code": promo.code, "active": active},
    )


def reserve(user_id: int, code: str, choice: Choice, key: str, *, over: str = "") -> Discount:
    """Take one place of a code for a purchase, and return what it takes off.

    The same purchase again takes no second place, nor does one that takes the place of another:
    `over` is how the keys of such begin. Raises InvalidInput or Conflict with the reason
    why the code does not hold: unknown, ended, not for this choice, used before; and, as the last
    part of the transaction, promo_taken where no place is left.
    """
    promo = queries.by_code(code)
    terms = queries.terms_of(promo)
    rules.check_usable(terms, choice, CURRENCY, utc_now())
    mine = db.session.scalar(
        select(PromoRedemption)
        .where(PromoRedemption.code_id == promo.id, PromoRedemption.user_id == user_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if mine is not None and mine.state != RedemptionState.RELEASED:
        if mine.key == key:
            return terms.discount
        if over and mine.key.startswith(over) and mine.state == RedemptionState.RESERVED:
            mine.key, mine.period, mine.reserved_at = key, choice.period.code, utc_now()
            db.session.flush()
            return terms.discount
        raise Conflict("promo_used", field="promo")
    if not _store(promo.id, user_id, choice.period.code, key):
        raise Conflict("promo_used", field="promo")
    _count(promo.id, 1, limited=True)
    return terms.discount


def use(key: str) -> None:
    """Note that the purchase for which a code was taken is paid. Again, or without one: nothing.

    Money that comes after the end takes its place back, also where that is one too many by now.
    """
    taken = _lock(key)
    if taken is None or taken.state == RedemptionState.USED:
        return
    if taken.state == RedemptionState.RELEASED:
        _count(taken.code_id, 1)
    taken.state, taken.used_at, taken.released_at = RedemptionState.USED.value, utc_now(), None
    db.session.flush()


def release(key: str) -> None:
    """Give the place back that a purchase had taken which came to nothing. Again: nothing."""
    taken = _lock(key)
    if taken is None or taken.state != RedemptionState.RESERVED:
        return
    _count(taken.code_id, -1)
    taken.state, taken.released_at = RedemptionState.RELEASED.value, utc_now()
    db.session.flush()


def _lock(key: str) -> PromoRedemption | None:
    return db.session.scalar(
        select(PromoRedemption)
        .where(PromoRedemption.key == key)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _count(code_id: int, step: int, *, limited: bool = False) -> None:
    """Count places when all else of this transaction is done."""
    counts = last_of(_Counts)
    counts.steps[code_id] += step
    if limited:
        counts.limited.add(code_id)


def _put(code_id: int, step: int, *, limited: bool) -> bool:
    query = update(PromoCode).where(PromoCode.id == code_id)
    if limited:
        room = PromoCode.redeemed < PromoCode.max_redemptions
        query = query.where(PromoCode.active, or_(PromoCode.max_redemptions.is_(None), room))
    counted = db.session.scalar(
        query.values(redeemed=PromoCode.redeemed + step)
        .returning(PromoCode.id)
        .execution_options(synchronize_session=False)
    )
    return counted is not None


def _store(code_id: int, user_id: int, period: str, key: str) -> bool:
    """Store who takes the code for what; False if the person has just taken it elsewhere."""
    values = {
        "key": key,
        "state": RedemptionState.RESERVED.value,
        "period": period,
        "reserved_at": utc_now(),
        "released_at": None,
    }
    stored = db.session.scalar(
        insert(PromoRedemption)
        .values(code_id=code_id, user_id=user_id, **values)
        .on_conflict_do_update(
            index_elements=[PromoRedemption.user_id, PromoRedemption.code_id],
            set_=values,
            where=PromoRedemption.state == RedemptionState.RELEASED.value,
        )
        .returning(PromoRedemption.id)
    )
    return stored is not None
