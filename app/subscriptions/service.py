"""Verbs of what is sold: plans and their prices."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.accounts import audit
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput, NotFound
from app.subscriptions import queries, rules
from app.subscriptions.models import (
    Plan,
    PlanKind,
    PlanPrice,
    RailPrice,
)
from app.subscriptions.periods import MONTH, Period
from app.subscriptions.seeds import ADDONS, CURRENCY, PLANS, PRICES
from app.transactions import after_commit


def seed_plans() -> None:
    """Add the plans that are missing, each with its first prices; what stands is left alone."""
    now = utc_now()
    kinds = {addon.limits.plan: addon.bot_kind for addon in ADDONS}
    limits = (*PLANS, *(addon.limits for addon in ADDONS))
    plans = [
        {
            "code": plan.plan,
            "name": plan.name,
            "position": position,
            "max_bots": plan.max_bots,
            "max_live_bots": plan.max_live_bots,
            "max_exchanges": plan.max_exchanges,
            "tick_period_s": plan.tick_period_s,
            "allowed": dict(plan.allowed),
            "visible": True,
            "kind": (PlanKind.ADDON if plan.plan in kinds else PlanKind.PLAN).value,
            "bot_kind": kinds.get(plan.plan, ""),
        }
        for position, plan in enumerate(limits)
    ]
    statement = insert(Plan).values(plans).on_conflict_do_nothing().returning(Plan.code)
    added = set(db.session.scalars(statement))
    prices = [
        {
            "plan_code": plan.plan,
            "amount": amount,
            "currency": CURRENCY,
            "period": period.code,
            "valid_from": now,
        }
        for plan in limits
        if plan.plan in added
        for period, amount in PRICES[plan.plan].items()
    ]
    if prices:
        db.session.execute(insert(PlanPrice), prices)
    after_commit(queries.forget_price_list)


def add_price(
    actor_id: int | None,
    plan_code: str,
    amount: Decimal,
    *,
    currency: str = CURRENCY,
    period: Period = MONTH,
    valid_from: datetime | None = None,
    seats: int | None = None,
) -> int:
    """Add a price that holds from now or a later moment; earlier prices stay as they were.

    With `seats` it is sold so many times and no more.
    """
    now = utc_now()
    if db.session.get(Plan, plan_code) is None:
        raise InvalidInput("unknown_plan", field="plan")
    rules.check_price(amount, currency)
    if seats is not None and not 1 <= seats <= rules.MAX_SEATS:
        raise InvalidInput("bad_plan_seats", field="seats", maximum=rules.MAX_SEATS)
    if valid_from is not None and valid_from < now:
        raise InvalidInput("plan_price_in_past", field="valid_from")
    start = valid_from or now
    values = {"plan_code": plan_code, "currency": currency, "period": period.code}
    statement = insert(PlanPrice).values(**values, amount=amount, valid_from=start, seats=seats)
    added = db.session.scalar(statement.on_conflict_do_nothing().returning(PlanPrice.id))
    if added is None:
        raise Conflict("plan_price_twice", field="valid_from")
    after = {**values, "amount": str(amount), "valid_from": start.isoformat(), "seats": seats}
    audit.record("plan.price_added", "plan", plan_code, actor_id=actor_id, after=after)
    after_commit(queries.forget_price_list)
    return int(added)


def name_price(rail: str, external_id: str, plan_code: str, period: Period) -> None:
    """Say what a provider calls the newest price of a plan for a period; again: the newest one."""
    price = db.session.scalar(
        select(PlanPrice.id)
        .where(PlanPrice.plan_code == plan_code, PlanPrice.period == period.code)
        .order_by(PlanPrice.valid_from.desc())
        .limit(1)
    )
    if price is None:
        raise NotFound("unknown_plan")
    statement = insert(RailPrice).values(rail=rail, external_id=external_id, price_id=price)
    db.session.execute(
        statement.on_conflict_do_update(
            index_elements=[RailPrice.rail, RailPrice.external_id],
            set_={"price_id": statement.excluded.price_id},
        )
    )
    audit.record(
        "plan.price_named",
        "plan",
        plan_code,
        actor_id=None,
        after={"rail": rail, "name": external_id, "period": period.code},
    )


def change_plan(
    actor_id: int | None,
    plan_code: str,
    limits: rules.Limits,
    *,
    visible: bool,
    trial_days: int | None = None,
) -> None:
    """Change what a plan allows and whether it is offered; audited with old and new values.

    `trial_days` says for how long it may be tried; None leaves that as it is.
    """
    rules.check_limits(limits)
    if trial_days is not None and not 0 <= trial_days <= rules.MAX_TRIAL_DAYS:
        raise InvalidInput(
            "bad_plan_limit", field="trial_days", minimum=0, maximum=rules.MAX_TRIAL_DAYS
        )
    plan = db.session.scalar(select(Plan).where(Plan.code == plan_code).with_for_update())
    if plan is None:
        raise NotFound("unknown_plan")
    before = _plan_values(plan)
    plan.name = limits.name.strip()
    plan.max_bots = limits.max_bots
    plan.max_live_bots = limits.max_live_bots
    plan.max_exchanges = limits.max_exchanges
    plan.tick_period_s = limits.tick_period_s
    plan.allowed = {what.value: times for what, times in limits.allowed.items()}
    plan.visible = visible
    if trial_days is not None:
        plan.trial_days = trial_days
    db.session.flush()
    audit.record(
        "plan.changed",
        "plan",
        plan_code,
        actor_id=actor_id,
        before=before,
        after=_plan_values(plan),
    )
    after_commit(queries.forget_price_list)


def _plan_values(plan: Plan) -> dict[str, str | int | bool]:
    return {
        **plan.allowed,
        "name": plan.name,
        "max_bots": plan.max_bots,
        "max_live_bots": plan.max_live_bots,
        "max_exchanges": plan.max_exchanges,
        "tick_period_s": plan.tick_period_s,
        "visible": plan.visible,
        "trial_days": plan.trial_days,
    }
