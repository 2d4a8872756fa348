"""Ways to pay that an operator adds: classes outside of this product, named by `PAYMENT_RAILS`."""

import re
from collections.abc import Iterable
from importlib import import_module
from typing import cast

from app.adapters.payments.port import LabelledRail, Rail
from app.errors import ConfigError
from app.settings.rules import offer_rail
from app.settings.texts import name_rail_switch
from app.wallet.texts import RAIL_LABELS, name_rail

VARIABLE = "PAYMENT_RAILS"
# It stands in addresses, in names of ledger accounts and of settings.
_NAME = re.compile(r"[a-z][a-z0-9]{1,19}")


def added_rails(paths: Iterable[str]) -> dict[str, LabelledRail]:
    """Make each rail of `package.module:callable`, name it, and give staff its switch.

    Raises ConfigError, which names the variable and what is wrong.
    """
    made: dict[str, LabelledRail] = {}
    for path in paths:
        rail = _make(path)
        if not _NAME.fullmatch(rail.name):
            raise _unusable(path, "its name must be 2 to 20 small letters and digits")
        if rail.name in made or (rail.name in RAIL_LABELS and not _is_again(rail)):
            raise _unusable(path, f"the name {rail.name} is taken")
        made[rail.name] = rail
    for rail in made.values():
        name_rail(rail.name, rail.label)
        name_rail_switch(offer_rail(rail.name), rail.label)
    return made


def _make(path: str) -> LabelledRail:
    module, _, name = path.partition(":")
    try:
        rail = getattr(import_module(module), name)()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise _unusable(path, str(error)) from error
    # The methods that are missing would be missed only when somebody pays.
    parts = {part for base in (Rail, LabelledRail) for part in vars(base) if part[0] != "_"}
    lacks = [part for part in sorted(parts) if not hasattr(rail, part)]
    if lacks:
        raise _unusable(path, f"it lacks {', '.join(lacks)}")
    return cast(LabelledRail, rail)


def _is_again(rail: LabelledRail) -> bool:
    """Tell whether a rail was added before by this process: tests make more apps than one."""
    return RAIL_LABELS[rail.name] == rail.label


def _unusable(path: str, hint: str) -> ConfigError:
    return ConfigError("unusable_rail", field=VARIABLE, given=path, hint=hint)
