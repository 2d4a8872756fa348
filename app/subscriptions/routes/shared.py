"""What the pages of plans share: what is sold, how to pay, and where a buyer goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import flash, g, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.adapters.payments import rail_named
from app.errors import NotFound
from app.payments import queries as payments
from app.subscriptions import buying, offers, queries
from app.subscriptions.buying import Goal, Way
from app.subscriptions.forms import ADDON
from app.subscriptions.offers import MOST_ADDONS, Reader
from app.subscriptions.periods import Period
from app.subscriptions.queries import Offer
from app.subscriptions.terms import Standing
from app.subscriptions.wording import each

# The name of the button that only works the sum out anew, for browsers without scripts.
RECOUNT = "recount"


@dataclass(frozen=True, slots=True)
class Sold:
    """What an order page is about: a plan with the add-ons to it, or an add-on alone."""

    code: str
    plan: str | None
    offer: Offer
    periods: tuple[Period, ...]
    addons: tuple[Offer, ...]


def sold_as(code: str) -> Sold:
    """Return what is sold under a code; raise NotFound for what is not."""
    addons = queries.addons_on_offer()
    for offer in (*queries.price_list(), *addons):
        periods = offers.periods_of([offer])
        if offer.limits.plan == code and periods:
            is_addon = offer in addons
            return Sold(code, None if is_addon else code, offer, periods, addons)
    raise NotFound("unknown_plan")


def plan_reader() -> Reader | None:
    """Return who looks at the prices; nobody that we know: None."""
    if not current_user.is_authenticated:
        return None
    return reader(buying.standing(current_user.id))


def reader(standing: Standing | None) -> Reader:
    """Return what somebody has already."""
    return Reader(
        plan=queries.limits_of(current_user.id).plan,
        subscribed=standing is not None,
        may_try=not queries.has_tried(current_user.id),
    )


def count_from(arguments: Mapping[str, str], name: str, otherwise: int) -> int:
    """Return a quantity out of an address; what can't be one is left aside."""
    text = arguments.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MOST_ADDONS))):
        return otherwise
    return min(int(text), MOST_ADDONS)


def let_forms_lead_away() -> None:
    """Allow the forms of this page to end at the pages of the rails."""
    g.form_targets = [host for name in payments.offered_rails() for host in rail_named(name).hosts]


def go(way: Way) -> ResponseReturnValue:
    """Lead to where a step of buying goes on."""
    if way.why == "pay_this_first":
        flash(_("You have ordered already: pay what is open first, or withdraw it."), "info")
    if way.goal is Goal.ELSEWHERE:
        return redirect(way.url, 303)
    if way.goal is Goal.INVOICE and way.invoice_id is not None:
        return redirect(url_for("payments.show", invoice_id=way.invoice_id), 303)
    target = "subscriptions.change" if way.goal is Goal.CHANGE else "subscriptions.index"
    return redirect(url_for(target), 303)


def by_code(listed: Sequence[Offer]) -> Mapping[str, Offer]:
    """Return offers by the code of their plan."""
    return {offer.limits.plan: offer for offer in listed}


def addon_notes(listed: Sequence[Offer]) -> Mapping[str, str]:
    """Return what stands under the number of each add-on, by the name of its field."""
    return {
        f"{ADDON}{offer.limits.plan}": _(
            "Each allows one running bot more, paper or live: %(price)s.",
            price=", ".join(
                each(*one) for one in sorted(offer.prices.items(), key=lambda one: one[0].months)
            ),
        )
        for offer in listed
        if offer.prices
    }
