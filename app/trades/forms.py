"""The filter of trades; it stands in the address, so it needs no token."""

from collections.abc import Collection

from flask_babel import lazy_gettext as _l
from wtforms import DateField, Form, SelectField

from app.accounts.choices import choices as options
from app.trades.queries import TradeChoices


class FilterForm(Form):
    """Which trades are shown."""

    bot = SelectField(_l("Bot"), validate_choice=False)
    symbol = SelectField(_l("Pair"), validate_choice=False)
    first = DateField(_l("From"), name="from")
    last = DateField(_l("To"), name="to")
    side = SelectField(_l("Direction"), validate_choice=False)
    status = SelectField(_l("State"), validate_choice=False)
    mode = SelectField(_l("Money"), validate_choice=False)

    def offer(self, choices: TradeChoices) -> None:
        """Fill in what can be chosen."""
        every = ("", _l("All"))
        self.bot.choices = options([every, *((str(number), name) for number, name in choices.bots)])
        self.symbol.choices = options([every, *((symbol, symbol) for symbol in choices.symbols)])
        self.side.choices = options([every, ("long", _l("Long")), ("short", _l("Short"))])
        self.status.choices = options(
            [every, ("open", _l("Open")), ("closed", _l("Closed")), ("carried", _l("Carried over"))]
        )
        self.mode.choices = options(
            [every, ("paper", _l("Paper")), ("testnet", _l("Testnet")), ("live", _l("Live"))]
        )

    def refuse(self, names: Collection[str]) -> None:
        """Say beside these fields that they do not filter."""
        for field in self:
            if field.name in names:
                field.errors = [_l("This filter was not understood and is left out.")]
