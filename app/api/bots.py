"""Bots: list, create, read, change, delete, start and stop; the same services as the pages."""

import json
from collections.abc import Mapping
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue

from app.accounts.tokens import Scope
from app.api import idempotency
from app.api.answers import (
    answer,
    listed,
    moment,
    number,
    raw_answer,
    read_choice,
    read_number,
    read_query,
    read_size,
)
from app.api.body import read_body, refuse_rest, take_id, take_text
from app.api.gate import blueprint, caller, needs
from app.bots import queries, rules, service, starting, stopping
from app.bots.inventory import bot_json, inventory, own_bot, own_inventory
from app.bots.labels import STRATEGY_LABELS
from app.bots.planning import prospect
from app.bots.venue_check import ask_venue
from app.bots.wording import say
from app.errors import InvalidInput, NotFound
from app.exchanges.queries import account_of
from app.markets.queries import find_market
from app.trades.owners import Pair
from app.trades.queries import Line
from app.trading.codec import to_json
from app.trading.guard import GUARD_FIELDS
from app.trading.strategy import StopHow
from app.transactions import transaction

ACCEPTED, CREATED, NO_CONTENT = 202, 201, 204
HOW = {"keep": StopHow.KEEP, "sell": StopHow.SELL, "leave-orders": StopHow.LEAVE_ORDERS}
USUAL_STRATEGY = "grid"
LIMITS = tuple(field.name for field in GUARD_FIELDS)


@blueprint.get("/bots")
@needs(Scope.BOTS_READ)
def list_bots() -> ResponseReturnValue:
    """List the person's bots by number."""
    query = read_query(("cursor", "limit", "state"))
    size = read_size(query)
    state = read_choice(query, "state", tuple(rules.STATE_TABLE))
    after = read_number(query, "cursor", "bad_cursor") or 0
    found = own_inventory(caller().user_id, state, after, size + 1)
    return listed(found, size, bot_json, lambda bot: bot.id)


@blueprint.post("/bots")
@needs(Scope.BOTS_WRITE)
def create_bot() -> ResponseReturnValue:
    """Make a stopped bot; with an Idempotency-Key at most once."""
    user_id = caller().user_id
    body = read_body()
    key = idempotency.check_key(request.headers.get("Idempotency-Key"))
    print_of_body = idempotency.fingerprint(body)
    with transaction():
        made = idempotency.recall(user_id, key, print_of_body) if key else None
        if made is None:
            made = json.dumps(_bot(user_id, _create(user_id, body)))
            if key:
                idempotency.keep(user_id, key, made)
    place = f"{blueprint.url_prefix}/bots/{json.loads(made)['id']}"
    return raw_answer(made, CREATED, Location=place)


@blueprint.get("/bots/<int:bot_id>")
@needs(Scope.BOTS_READ)
def show_bot(bot_id: int) -> ResponseReturnValue:
    """Show one bot."""
    read_query(())
    return answer(_bot(caller().user_id, bot_id))


@blueprint.patch("/bots/<int:bot_id>")
@needs(Scope.BOTS_WRITE)
def change_bot(bot_id: int) -> ResponseReturnValue:
    """Change the name in any state, settings of a bot that does not run; the rest stays."""
    user_id = caller().user_id
    own_bot(user_id, bot_id)
    body = read_body()
    name, strategy = take_text(body, "name"), take_text(body, "strategy")
    with transaction():
        service.change_bot(user_id, bot_id, body, name, strategy)
    return answer(_bot(user_id, bot_id))


@blueprint.patch("/bots/<int:bot_id>/limits")
@needs(Scope.BOTS_WRITE)
def change_limits(bot_id: int) -> ResponseReturnValue:
    """Change the limits beyond which a bot pauses, in any state; null takes one away."""
    user_id = caller().user_id
    own_bot(user_id, bot_id)
    body = read_body()
    with transaction():
        service.change_limits(user_id, bot_id, body)
    return answer(_bot(user_id, bot_id))


@blueprint.delete("/bots/<int:bot_id>")
@needs(Scope.BOTS_WRITE)
def delete_bot(bot_id: int) -> ResponseReturnValue:
    """Take a stopped bot out of the lists; its trades stay in the history.

    With `leave=position` also one that has kept a position: it stays at the exchange.
    """
    leaves = read_choice(read_query(("leave",)), "leave", ("position",)) == "position"
    with transaction():
        service.delete_bot(caller().user_id, bot_id, leaves=leaves)
    return "", NO_CONTENT


@blueprint.get("/bots/<int:bot_id>/plan")
@needs(Scope.BOTS_READ)
def show_plan(bot_id: int) -> ResponseReturnValue:
    """Show what a start would do at the present price, and the word that confirms it."""
    read_query(())
    ahead = prospect(own_bot(caller().user_id, bot_id))
    return answer(
        {
            "plan": to_json(ahead.settings.plan),
            "price": number(ahead.grounds.known_price),
            "needed": {"base": number(ahead.needed.base), "quote": number(ahead.needed.quote)},
            "confirm": ahead.seen.text(),
        }
    )


@blueprint.post("/bots/<int:bot_id>/start")
@needs(Scope.BOTS_RUN)
def start_bot(bot_id: int) -> ResponseReturnValue:
    """Start a bot; with `confirm` only if the plan is still the one that was read."""
    user_id = caller().user_id
    bot = own_bot(user_id, bot_id)
    body = read_body(may_be_empty=True)
    confirm, understood = take_text(body, "confirm"), body.pop("understood", None)
    refuse_rest(body)
    if bot.mode == "live" and understood is not True:
        raise InvalidInput("not_understood", field="understood")
    balances = ask_venue(user_id, bot_id)
    with transaction():
        if confirm is None:
            starting.start_as_planned_now(user_id, bot_id, balances)
        else:
            starting.request_start(user_id, bot_id, rules.read_seen(confirm), balances)
    return answer(_bot(user_id, bot_id), ACCEPTED)


@blueprint.post("/bots/<int:bot_id>/stop")
@needs(Scope.BOTS_RUN)
def stop_bot(bot_id: int) -> ResponseReturnValue:
    """Stop a bot; `then` says what becomes of its coins and orders."""
    user_id = caller().user_id
    own_bot(user_id, bot_id)
    body = read_body(may_be_empty=True)
    then = take_text(body, "then") or "keep"
    refuse_rest(body)
    if then not in HOW:
        raise InvalidInput("not_a_choice", field="then", choices=", ".join(HOW))
    with transaction():
        stopping.request_stop(user_id, bot_id, HOW[then])
    return answer(_bot(user_id, bot_id), ACCEPTED)


@blueprint.post("/bots/<int:bot_id>/emergency")
@needs(Scope.BOTS_RUN)
def stop_at_once(bot_id: int) -> ResponseReturnValue:
    """Cancel all orders, sell all coins at market, lock the bot."""
    user_id = caller().user_id
    own_bot(user_id, bot_id)
    refuse_rest(read_body(may_be_empty=True))
    with transaction():
        stopping.emergency_stop(user_id, bot_id)
    return answer(_bot(user_id, bot_id), ACCEPTED)


@blueprint.post("/bots/<int:bot_id>/unlock")
@needs(Scope.BOTS_RUN)
def unlock_bot(bot_id: int) -> ResponseReturnValue:
    """Let a locked bot be started again."""
    user_id = caller().user_id
    own_bot(user_id, bot_id)
    refuse_rest(read_body(may_be_empty=True))
    with transaction():
        stopping.unlock(user_id, bot_id)
    return answer(_bot(user_id, bot_id))


# --- reading and writing --------------------------------------------------------------------------


def _create(user_id: int, body: Mapping[str, object]) -> int:
    settings = dict(body)
    account = _account(user_id, take_id(settings, "account"))
    symbol = take_text(settings, "symbol")
    if not symbol:
        raise InvalidInput("missing", field="symbol")
    market = find_market(account.venue, symbol)
    if market is None:
        raise InvalidInput("unknown_market", field="symbol")
    strategy = take_text(settings, "strategy") or USUAL_STRATEGY
    name = take_text(settings, "name")
    if name is None:
        # An unknown strategy is refused by its own name, not by that of the bot.
        name = f"{STRATEGY_LABELS.get(strategy, '')} {symbol}"
    limits = {each: settings.pop(each) for each in LIMITS if each in settings}
    return service.create_bot(
        user_id, account.id, market.id, strategy, settings, name, limits=limits
    )


def _account(user_id: int, account_id: int) -> Any:
    try:
        return account_of(user_id, account_id)
    except NotFound:
        # The address was right; what the body names is not there, or not this person's.
        raise InvalidInput("unknown_account", field="account") from None


def _bot(user_id: int, bot_id: int) -> dict[str, Any]:
    """Return a bot as the list has it, with its settings, times and reasons."""
    card = queries.bot_card(user_id, bot_id)
    listed_bots = inventory(bot_id)
    if not listed_bots:
        # Deleted by another request since the line above.
        raise NotFound("bot_not_found")
    return {
        **bot_json(listed_bots[0]),
        "account": card.account_id,
        "strategy": card.strategy,
        "settings": dict(queries.stored_params(bot_id)),
        "limits": {**dict.fromkeys(LIMITS), **queries.limits_of_bot(bot_id)},
        "config_version": card.config_version,
        "capital": number(card.capital),
        "since": moment(card.since),
        "reason": _line(card.reason, card.pair),
        "stale": card.stale,
        "stop_request": card.stop_request,
        "last_error": _line(card.last_error, card.pair),
        "last_error_at": moment(card.last_error_at),
        "created_at": moment(card.created_at),
        "started_at": moment(card.started_at),
        "stopped_at": moment(card.stopped_at),
        "last_tick_at": moment(card.last_tick_at),
    }


def _line(line: Line | None, pair: Pair) -> dict[str, str] | None:
    return None if line is None else {"code": line.code, "title": say(line, pair)}
