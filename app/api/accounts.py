"""Connected accounts: what a client needs to make a bot. Keys have no place here."""

from typing import Any

from flask.typing import ResponseReturnValue

from app.accounts.tokens import Scope
from app.api.answers import answer, read_query
from app.api.gate import blueprint, caller, needs
from app.exchanges.queries import accounts_of


@blueprint.get("/accounts")
@needs(Scope.BOTS_READ)
def list_accounts() -> ResponseReturnValue:
    """List the person's accounts."""
    read_query(())
    return answer({"items": [_as_json(each) for each in accounts_of(caller().user_id)]})


def _as_json(account: Any) -> dict[str, Any]:
    return {
        "id": account.id,
        "label": account.label,
        "mode": account.mode,
        "exchange": account.exchange,
        "prices_of": account.venue,
        "testnet": account.testnet,
        "active": account.active,
    }
