"""Forms of choosing and ordering a plan. What is sold is data, so the fields are made from it."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, IntegerField, RadioField
from wtforms import StringField as TextField
from wtforms.validators import AnyOf, InputRequired, Length, NumberRange, Optional

from app.accounts.choices import choices
from app.subscriptions.offers import MOST_ADDONS
from app.subscriptions.periods import Period
from app.subscriptions.promotions.rules import MAX_CODE
from app.subscriptions.queries import Offer
from app.subscriptions.terms import Choice
from app.subscriptions.texts import plan_label
from app.subscriptions.wording import pay_period

ADDON = "addon_"
# Stands for "no plan, add-ons only".
NO_PLAN = "none"
_required = InputRequired(_l("Please choose one."))
_TOO_MANY = _l("Give a whole number from 0 to %(most)s.", most=MOST_ADDONS)
F = TypeVar("F", bound="ChoiceForm")


class QuantityField(IntegerField):
    """How many; longer than any number that may stand there it is not even read."""

    def process_formdata(self, valuelist: list[Any]) -> None:
        """Read the number that was typed."""
        if valuelist and len(valuelist[0].strip()) > len(str(MOST_ADDONS)):
            self.data = None
            raise ValueError(_TOO_MANY)
        super().process_formdata(valuelist)


class ChoiceForm(FlaskForm):
    """For which period, and how many of each add-on."""

    period = RadioField(_l("Period"), [_required])

    def addons(self) -> Mapping[str, int]:
        """Return how many of each add-on are chosen, those of which there are none left out."""
        chosen = {
            field.name.removeprefix(ADDON): int(field.data or 0) for field in self.addon_fields()
        }
        return {code: count for code, count in chosen.items() if count}

    def addon_fields(self) -> tuple[IntegerField, ...]:
        """Return the fields of the add-ons."""
        return tuple(field for field in self if field.name.startswith(ADDON))

    def choice(self, plan: str | None) -> Choice:
        """Return what is chosen, of a plan that stands elsewhere."""
        return Choice(plan, Period.parse(self.period.data or ""), self.addons())

    def wrong_choice(self) -> str:
        """Return the first thing that is wrong with what is chosen, or nothing."""
        fields = (self.period, *self.addon_fields())
        return next((str(error) for field in fields for error in field.errors), "")


class OrderForm(ChoiceForm):
    """How to pay for a plan, and a word by which a second post is known as the same order."""

    rail = RadioField(_l("Way to pay"), [_required])
    promo = TextField(_l("Promotion code"), [Optional(), Length(max=MAX_CODE)])
    key = HiddenField(default=lambda: secrets.token_hex(16))
    # The sums that the page showed, beside its button.
    seen = HiddenField()

    def choice(self, plan: str | None) -> Choice:
        """Return what is chosen, with the promotion code that was typed."""
        return replace(super().choice(plan), promo=(self.promo.data or "").strip())

    def wrong_choice(self) -> str:
        """Return the first thing that is wrong with what is chosen, or nothing."""
        return super().wrong_choice() or next((str(one) for one in self.promo.errors), "")


class ChangeForm(ChoiceForm):
    """Another plan, and what stands for the preview that was read."""

    plan = RadioField(_l("Plan"), [_required])
    token = HiddenField()

    def chosen(self) -> Choice:
        """Return what is chosen."""
        return self.choice(None if self.plan.data == NO_PLAN else self.plan.data)


class WayForm(FlaskForm):
    """By which way later periods are paid."""

    rail = RadioField(_l("Pay the next periods by"), [_required])


def way_form(ways: Iterable[tuple[str, str]], **given: Any) -> WayForm:
    """Return the form for a way to pay; `given` is what it begins with."""
    form = WayForm(**given)
    _offer(form.rail, ways)
    return form


def order_form(
    periods: Sequence[Period],
    addons: Iterable[Offer],
    rails: Iterable[tuple[str, str]],
    **given: Any,
) -> OrderForm:
    """Return the form of an order for what is sold; `given` is what it begins with."""
    form = _with_addons(OrderForm, addons)(**given)
    _offer(form.period, [(one.code, pay_period(one)) for one in periods])
    _offer(form.rail, rails)
    return form


def change_form(
    plans: Iterable[tuple[str, str]],
    periods: Sequence[Period],
    addons: Iterable[Offer],
    **given: Any,
) -> ChangeForm:
    """Return the form of a change for what is sold; `given` is what it begins with."""
    form = _with_addons(ChangeForm, addons)(**given)
    _offer(form.plan, plans)
    _offer(form.period, [(one.code, pay_period(one)) for one in periods])
    return form


def _with_addons(base: type[F], addons: Iterable[Offer]) -> type[F]:
    fields = {f"{ADDON}{offer.limits.plan}": _quantity(offer) for offer in addons}
    return type(base.__name__, (base,), fields)


def _quantity(offer: Offer) -> IntegerField:
    return QuantityField(
        plan_label(offer.limits.name),
        [Optional(), NumberRange(0, MOST_ADDONS, _TOO_MANY)],
        default=0,
        render_kw={"inputmode": "numeric", "min": 0, "max": MOST_ADDONS, "autocomplete": "off"},
    )


def _offer(field: RadioField, options: Iterable[tuple[str, str]]) -> None:
    listed = list(options)
    field.choices = choices(listed)
    field.validators = [_required, AnyOf([value for value, _label in listed])]
