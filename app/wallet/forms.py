"""The filter of a wallet's lines; it stands in the address, so it needs no token."""

from collections.abc import Iterable
from typing import Any

from flask_babel import lazy_gettext as _l
from wtforms import DateField, Form, SelectField

from app.accounts.choices import choices as options
from app.wallet.queries import LineChoices
from app.wallet.texts import kind_label, rail_label


class FilterForm(Form):
    """Which lines are shown."""

    currency = SelectField(_l("Currency"), validate_choice=False)
    kind = SelectField(_l("Kind"), validate_choice=False)
    rail = SelectField(_l("Way"), validate_choice=False)
    direction = SelectField(_l("In or out"), validate_choice=False)
    first = DateField(_l("From"), name="from")
    last = DateField(_l("To"), name="to")

    def offer(self, choices: LineChoices) -> None:
        """Fill in what can be chosen."""
        self.currency.choices = _all((one, one) for one in choices.currencies)
        self.kind.choices = _all((one, kind_label(one)) for one in choices.kinds)
        self.rail.choices = _all((one, rail_label(one)) for one in choices.rails)
        self.direction.choices = _all([("in", _l("In")), ("out", _l("Out"))])


def _all(pairs: Iterable[tuple[str, str]]) -> list[Any]:
    return options([("", _l("All")), *pairs])
