"""Prices of ours at a provider: made there by themselves when they are first sold.

Opens transactions of its own: the calls stand between them.
"""

from collections.abc import Collection, Iterable
from functools import partial

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on, insert

from app.accounts import audit
from app.adapters.payments.keeping import PriceOrder
from app.adapters.payments.port import RailLine
from app.db import db, utc_now
from app.errors import Conflict
from app.money import Money
from app.payments.mirroring import Sold
from app.subscriptions.kept.baskets import words_of_period, words_of_rest
from app.subscriptions.models import Plan, PlanPrice, RailPrice
from app.subscriptions.periods import Period
from app.subscriptions.provider.store import keeper
from app.transactions import transaction


def ensure(rail: str, price_ids: Iterable[int]) -> dict[int, str]:
    """Return what a provider calls prices of ours; those that it does not know are made there."""
    wanted = list(price_ids)
    with transaction():
        names = _names(rail, wanted)
        missing = {price_id: _order(price_id) for price_id in wanted if price_id not in names}
    for price_id, order in missing.items():
        names[price_id] = _make(rail, price_id, order)
    return names


def what_is_sold(rail: str, names: Collection[str]) -> dict[str, Sold]:
    """Return what prices of a provider sell here, for the lines of its invoices."""
    rows = db.session.execute(
        select(
            RailPrice.external_id, PlanPrice.id, PlanPrice.period, Plan.code, Plan.name, Plan.kind
        )
        .join(PlanPrice, PlanPrice.id == RailPrice.price_id)
        .join(Plan, Plan.code == PlanPrice.plan_code)
        .where(RailPrice.rail == rail, RailPrice.external_id.in_(names))
    )
    return {
        known: Sold(f"{kind}:{code}", price_id, partial(_words, name, Period.parse(period)))
        for known, price_id, period, code, name, kind in rows
    }


def _words(name: str, period: Period, line: RailLine) -> str:
    is_credit = line.money.amount < 0
    # What costs nothing are days to try, which are shorter or longer than a period.
    if line.is_proration or line.money.amount <= 0:
        return words_of_rest(name, line.quantity, line.period_end, is_credit=is_credit)
    return words_of_period(name, line.quantity, period)


def make_all(rail: str) -> dict[str, str]:
    """Make every price known that is on sale; return our words for them and the provider's.

    A price that was archived there is made anew; who has it keeps it.
    """
    with transaction():
        orders = {price_id: _order(price_id) for price_id in on_sale()}
    return {order.key: _make(rail, price_id, order) for price_id, order in orders.items()}


def _make(rail: str, price_id: int, order: PriceOrder) -> str:
    external_id = keeper(rail).make_price(order)
    with transaction():
        _remember(rail, external_id, price_id)
    return external_id


def _remember(rail: str, external_id: str, price_id: int) -> None:
    statement = insert(RailPrice).values(rail=rail, external_id=external_id, price_id=price_id)
    added = db.session.scalar(statement.on_conflict_do_nothing().returning(RailPrice.price_id))
    if added is None:
        return
    price = db.session.get_one(PlanPrice, price_id)
    audit.record(
        "plan.price_named",
        "plan",
        price.plan_code,
        actor_id=None,
        after={"rail": rail, "name": external_id, "period": price.period},
    )


def _names(rail: str, price_ids: Iterable[int]) -> dict[int, str]:
    rows = db.session.execute(
        select(RailPrice.price_id, RailPrice.external_id)
        .where(RailPrice.rail == rail, RailPrice.price_id.in_(list(price_ids)))
        .order_by(RailPrice.created_at, RailPrice.external_id)
    )
    return {price_id: external_id for price_id, external_id in rows}


def _order(price_id: int) -> PriceOrder:
    price, plan = db.session.execute(
        select(PlanPrice, Plan)
        .join(Plan, Plan.code == PlanPrice.plan_code)
        .where(PlanPrice.id == price_id)
    ).one()
    period = Period.parse(price.period)
    if period.is_endless or not price.amount:
        # What is paid once, or never, is no subscription.
        raise Conflict("not_sold_there")
    return PriceOrder(
        key=f"price:{price.id}",
        product_key=plan.code,
        product_name=plan.name,
        money=Money(price.amount, price.currency),
        unit=period.unit.value,
        count=period.count,
        marks={"plan": plan.code, "price_id": str(price.id)},
    )


def on_sale() -> list[int]:
    """Return the prices on sale that a provider can keep: what is paid for again and again."""
    newest = (
        select(PlanPrice.id)
        .ext(distinct_on(PlanPrice.plan_code, PlanPrice.currency, PlanPrice.period))
        .join(Plan, Plan.code == PlanPrice.plan_code)
        .where(Plan.visible, PlanPrice.valid_from <= utc_now())
        .order_by(
            PlanPrice.plan_code,
            PlanPrice.currency,
            PlanPrice.period,
            PlanPrice.valid_from.desc(),
        )
    ).subquery()
    query = select(PlanPrice).where(PlanPrice.id.in_(select(newest.c.id))).order_by(PlanPrice.id)
    return [
        price.id
        for price in db.session.scalars(query)
        if price.amount and not Period.parse(price.period).is_endless
    ]
