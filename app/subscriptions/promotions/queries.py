"""Reading promotion codes: what one takes off, of which purchase, and who has taken it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from app.accounts.models import User
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput, NotFound
from app.subscriptions.models import Plan, PlanKind
from app.subscriptions.promotions import rules
from app.subscriptions.promotions.models import PromoCode, PromoRedemption, RedemptionState
from app.subscriptions.promotions.rules import Terms
from app.subscriptions.rules import FREE_PLAN
from app.subscriptions.seeds import CURRENCY
from app.subscriptions.terms import Choice, Discount

SHOWN = 200


@dataclass(frozen=True, slots=True)
class Redemption:
    """Who has taken a code, for which purchase, and what became of it."""

    user_id: int
    email: str
    key: str
    state: str
    reserved_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class CodePage:
    """A code as staff see it."""

    id: int
    terms: Terms
    redeemed: int
    created_at: datetime
    redemptions: Sequence[Redemption] = ()

    @property
    def is_live(self) -> bool:
        """Tell whether somebody could begin with it now, if there are places left."""
        return rules.is_live(self.terms, utc_now())


def discount_for(user_id: int, choice: Choice) -> Discount | None:
    """Return what the code of a choice would take off for a person; None without a code.

    Raises InvalidInput or Conflict where it holds for nobody, or not for this person or choice.
    """
    if not choice.promo.strip():
        return None
    promo = by_code(choice.promo)
    rules.check_usable(terms_of(promo), choice, CURRENCY, utc_now())
    mine = db.session.scalar(
        select(PromoRedemption.state).where(
            PromoRedemption.code_id == promo.id, PromoRedemption.user_id == user_id
        )
    )
    # What is reserved for an order that nobody has paid goes over to the order that replaces it.
    if mine == RedemptionState.USED:
        raise Conflict("promo_used", field="promo")
    is_full = promo.max_redemptions is not None and promo.redeemed >= promo.max_redemptions
    if is_full and mine != RedemptionState.RESERVED:
        raise Conflict("promo_taken", field="promo")
    return terms_of(promo).discount


def by_code(code: str) -> PromoCode:
    """Return a code, however its letters are written; raise InvalidInput if there is none."""
    wanted = rules.normal(code)
    found = None
    if rules.is_code(wanted):
        found = db.session.scalar(select(PromoCode).where(PromoCode.code == wanted))
    if found is None:
        raise InvalidInput("promo_unknown", field="promo")
    return found


def terms_of(promo: PromoCode) -> Terms:
    """Return what a code gives."""
    return Terms(
        rules.discount_of(promo.code, promo.percent, promo.amount, promo.currency, promo.periods),
        tuple(promo.plans),
        promo.expires_at,
        promo.max_redemptions,
        promo.active,
    )


def discount_at(key: str, number: int, plan: str | None, period: str) -> Discount | None:
    """Return what the code taken for a purchase takes off one of its periods, if anything."""
    row = _taken(key)
    if row is None:
        return None
    return rules.at(terms_of(row[0]), number, plan, same_period=period == row[1])


def goes_on(key: str, plan: str | None, period: str) -> bool:
    """Tell whether the code of a purchase holds for another plan and period; without one it does.

    How many periods it lowers is not asked.
    """
    row = _taken(key)
    return row is None or (rules.is_for(terms_of(row[0]), plan) and period == row[1])


def code_of(key: str) -> str:
    """Return the code that is taken for a purchase, or nothing."""
    found = db.session.scalar(
        select(PromoCode.code)
        .join(PromoRedemption, PromoRedemption.code_id == PromoCode.id)
        .where(PromoRedemption.key == key, PromoRedemption.state != RedemptionState.RELEASED.value)
    )
    return found or ""


def _taken(key: str) -> tuple[PromoCode, str] | None:
    """Return the code that is taken for a purchase, and the period of that."""
    row = db.session.execute(
        select(PromoCode, PromoRedemption.period)
        .join(PromoRedemption, PromoRedemption.code_id == PromoCode.id)
        .where(PromoRedemption.key == key, PromoRedemption.state != RedemptionState.RELEASED.value)
    ).one_or_none()
    return (row[0], row[1]) if row is not None else None


def plans() -> Sequence[tuple[str, str]]:
    """Return code and name of each plan that a code may be for."""
    rows = db.session.execute(
        select(Plan.code, Plan.name)
        .where(Plan.kind == PlanKind.PLAN.value, Plan.code != FREE_PLAN)
        .order_by(Plan.position)
    )
    return [(code, name) for code, name in rows]


def listed(*, everything: bool) -> list[CodePage]:
    """Return the codes that can be used, the newest first; with `everything` those too that ended.

    Who took them is left out.
    """
    found = db.session.scalars(select(PromoCode).order_by(PromoCode.id.desc()))
    pages = [_page(promo) for promo in found]
    return [page for page in pages if everything or page.is_live]


def _page(promo: PromoCode, taken: Sequence[Redemption] = ()) -> CodePage:
    return CodePage(promo.id, terms_of(promo), promo.redeemed, promo.created_at, taken)


def page_of(code_id: int) -> CodePage:
    """Return a code and who took it last; raise NotFound if there is none."""
    promo = db.session.get(PromoCode, code_id)
    if promo is None:
        raise NotFound("unknown_promo")
    rows = db.session.execute(
        select(PromoRedemption, User.email)
        .join(User, User.id == PromoRedemption.user_id)
        .where(PromoRedemption.code_id == code_id)
        .order_by(PromoRedemption.id.desc())
        .limit(SHOWN)
    ).all()
    taken = [
        Redemption(
            user_id=one.user_id,
            email=email or "",
            key=one.key,
            state=one.state,
            reserved_at=one.reserved_at,
            ended_at=one.released_at or one.used_at,
        )
        for one, email in rows
    ]
    return _page(promo, taken)
