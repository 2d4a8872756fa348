"""Orders, fills and round trips."""

from typing import Any

from flask.typing import ResponseReturnValue

from app.accounts.tokens import Scope
from app.api.answers import listed, moment, number, read_choice, read_number, read_query, read_size
from app.api.gate import blueprint, caller, needs
from app.bots.inventory import own_bot
from app.errors import InvalidInput
from app.trades import ledger

MAX_SYMBOL = 60


@blueprint.get("/trades")
@needs(Scope.TRADES_READ)
def list_trades() -> ResponseReturnValue:
    """List round trips, those of deleted bots too."""
    query = read_query(("cursor", "limit", "bot", "symbol", "status"))
    size = read_size(query)
    symbol = query.get("symbol", "")
    if len(symbol) > MAX_SYMBOL:
        raise InvalidInput("text_too_long", field="symbol", maximum=MAX_SYMBOL)
    found = ledger.trades_before(
        caller().user_id,
        read_number(query, "cursor", "bad_cursor"),
        size,
        bot_id=read_number(query, "bot", "not_whole_id"),
        symbol=symbol,
        status=read_choice(query, "status", ("open", "closed", "carried")),
    )
    return listed(found, size, _trade, lambda row: row.id)


@blueprint.get("/bots/<int:bot_id>/orders")
@needs(Scope.TRADES_READ)
def list_orders(bot_id: int) -> ResponseReturnValue:
    """List a bot's orders."""
    bot = own_bot(caller().user_id, bot_id)
    query = read_query(("cursor", "limit", "status"))
    size = read_size(query)
    status = read_choice(query, "status", ("open", "filled", "cancelled"))
    cursor = read_number(query, "cursor", "bad_cursor")
    return listed(
        ledger.orders_before(bot.id, cursor, size, status), size, _order, lambda row: row.id
    )


@blueprint.get("/bots/<int:bot_id>/fills")
@needs(Scope.TRADES_READ)
def list_fills(bot_id: int) -> ResponseReturnValue:
    """List a bot's fills."""
    bot = own_bot(caller().user_id, bot_id)
    query = read_query(("cursor", "limit"))
    size = read_size(query)
    cursor = read_number(query, "cursor", "bad_cursor")
    return listed(ledger.fills_before(bot.id, cursor, size), size, _fill, lambda row: row.id)


def _trade(row: Any) -> dict[str, Any]:
    logic = row.logic or {}
    return {
        "id": row.id,
        "bot": row.bot_id,
        "symbol": row.symbol,
        "side": row.side,
        "status": row.status,
        "quantity": number(row.quantity),
        "entry_price": number(row.entry_price),
        "entry_at": moment(row.entry_at),
        "entry_order": row.entry_order_id,
        "exit_price": number(row.exit_price),
        "exit_at": moment(row.exit_at),
        "exit_order": row.exit_order_id,
        "profit": number(row.profit),
        "fees": number(row.fees),
        "currency": row.currency,
        "reason": logic.get("code"),
        "exit_reason": (logic.get("exit") or {}).get("code"),
    }


def _order(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "bot": row.bot_id,
        "symbol": row.symbol,
        "client_id": row.client_id,
        "exchange_id": row.exchange_order_id,
        "purpose": row.purpose,
        "level": row.level,
        "side": row.side,
        "kind": row.kind,
        "price": number(row.price),
        "quantity": number(row.quantity),
        "filled": number(row.filled),
        "value": number(row.value),
        "status": row.status,
        "reason": (row.reason or {}).get("code"),
        "error": row.error,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "final_at": moment(row.final_at),
    }


def _fill(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "bot": row.bot_id,
        "order": row.order_id,
        "exchange_id": row.trade_id,
        "side": row.side,
        "price": number(row.price),
        "quantity": number(row.quantity),
        "fee": number(row.fee),
        "fee_currency": row.fee_currency,
        "fee_in_quote": number(row.fee_quote),
        "maker": row.maker,
        "at": moment(row.at),
    }
