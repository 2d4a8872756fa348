"""The kinds of grids whose lives are tried, and how their owners may change them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

from app.trading.strategies.grid_params import GridParams

D = Decimal
Settings = dict[str, Any]
BY_SIZE: Settings = {"investment": None}


def _contract(direction: str, **more: Any) -> Settings:
    return {"direction": direction, **more}


# What is tried on each kind, beside the range of 90 to 110 and an investment of 1,000.
KINDS: Mapping[str, Settings] = {
    "arithmetic": {},
    "geometric_equal_quote": {"spacing": "geometric", "sizing": "equal_quote"},
    "fixed_quantity": {**BY_SIZE},
    "infinity": {"infinity": True, "upper": None, "grids": None, "step": D("0.02")},
    "few_resting": {"max_resting": 5, "grids": 16},
    "trailing_up": {"trailing_up": True},
    "trailing_down": {"trailing_down": True},
    "contract_long": _contract("long"),
    "contract_short": _contract("short"),
    "contract_neutral": _contract("neutral"),
    "contract_long_quantity": _contract("long", **BY_SIZE),
    "contract_short_quantity": _contract("short", **BY_SIZE),
    "contract_neutral_quantity": _contract("neutral", **BY_SIZE),
    "contract_short_equal_quote": _contract("short", spacing="geometric", sizing="equal_quote"),
    "contract_long_trailing": _contract("long", trailing_up=True),
    "contract_short_trailing": _contract("short", trailing_down=True),
    "contract_few_resting": _contract("neutral", max_resting=5, grids=16),
}


def is_contract(kind: str) -> bool:
    """Tell whether a kind is traded on a contract."""
    return kind.startswith("contract_")


def settings_of(kind: str, random: Random) -> Settings:
    """Return the settings of one grid of a kind."""
    settings = dict(KINDS[kind])
    settings["reserve"] = random.choice([D(0), D("0.01"), D("0.05"), D("0.1")])
    if "investment" in settings:
        settings["quantity"] = random.choice([D("0.5"), D(1), D(2)])
    if is_contract(kind):
        settings["leverage"] = D(random.choice([1, 2, 5]))
    if settings.get("trailing_up") and random.random() < 0.5:
        settings["trailing_up_limit"] = D(130)
    if settings.get("trailing_down") and random.random() < 0.5:
        settings["trailing_down_limit"] = D(75)
    if random.random() < 0.3:
        settings["profit_use"] = "reinvest"
    settings["at_exit"] = random.choice(["keep", "sell"])
    return settings


Change = Callable[[GridParams, Random], Settings]


def _range(params: GridParams, random: Random) -> Settings:
    changes: Settings = {"lower": D(random.choice([70, 80, 85, 90, 95]))}
    if not params.infinity:
        changes["upper"] = D(random.choice([105, 110, 115, 120, 130]))
    return changes


def _grids(params: GridParams, random: Random) -> Settings:
    if params.infinity or params.step is not None:
        return {"step": random.choice([D("0.015"), D("0.02"), D("0.03")])}
    return {"grids": random.choice([4, 7, 10, 16, 25])}


def _size(params: GridParams, random: Random) -> Settings:
    if params.quantity is not None:
        return {"quantity": random.choice([D("0.3"), D("0.7"), D(1), D(2), D(3), D(5)])}
    share = random.choice([D("0.7"), D("0.95"), D("1.3"), D(2)])
    return {"investment": ((params.investment or D(1000)) * share).quantize(D("0.01"))}


def _exits(params: GridParams, random: Random) -> Settings:
    below, above = random.choice([None, D(40), D(58)]), random.choice([None, D(150), D(170)])
    changes: Settings = {"take_profit": above, "stop_loss": below}
    if params.is_short:
        changes = {"take_profit": below, "stop_loss": above}
    changes["take_profit_share"] = random.choice([None, D("0.2"), D(3)])
    changes["stop_loss_share"] = random.choice([None, D("0.3"), D("0.6")])
    return changes


def _trailing(params: GridParams, random: Random) -> Settings:
    if params.trailing_up:
        return {"trailing_up_limit": random.choice([None, D(132), D(145)])}
    if params.trailing_down:
        return {"trailing_down_limit": random.choice([None, D(60), D(68)])}
    return {}


def _money_rules(params: GridParams, random: Random) -> Settings:
    changes: Settings = {"reserve": random.choice([D(0), D("0.02"), D("0.1")])}
    changes["profit_use"] = random.choice(["set_aside", "reinvest"])
    return changes


def _leverage(params: GridParams, random: Random) -> Settings:
    return {"leverage": D(random.choice([1, 2, 3, 5]))}


def _resting(params: GridParams, random: Random) -> Settings:
    return {"max_resting": random.choice([None, 4, 6, 200])}


def changes_of(params: GridParams, random: Random, *, contract: bool) -> Settings:
    """Return other settings for a grid, one or two things at once."""
    known: list[Change] = [_range, _range, _grids, _size, _size, _exits, _money_rules, _resting]
    known += [_leverage] if contract else []
    known += [_trailing] if params.trailing_up or params.trailing_down else []
    changes: Settings = {}
    for change in random.sample(known, random.randint(1, 2)):
        changes |= change(params, random)
    return changes


def without_exits(params: GridParams) -> bool:
    """Tell whether a grid has no reason of its own to end, but a liquidation."""
    none = replace(
        params, take_profit=None, stop_loss=None, take_profit_share=None, stop_loss_share=None
    )
    return none == params
