"""The rows with which most tests of bots begin: made by the models once, then put back at once.

The models take twenty statements for them, and five times as long.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import DateTime, Table, text

from app.accounts.models import Profile, User
from app.db import db, utc_now
from app.exchanges.models import Exchange, ExchangeAccount, PaperBalance
from app.markets.models import MarketRow, PricePointRow
from app.subscriptions.models import Plan, PlanPrice

_TABLES: tuple[Any, ...] = tuple(
    model.__table__
    for model in (
        Plan, PlanPrice, Exchange, User, Profile, MarketRow, ExchangeAccount, PaperBalance,
        PricePointRow,
    )
)  # fmt: skip
# What is new each time: the number that the database gives, or what is handed over.
_NEW: dict[str, str] = {
    "plan_prices.id": "",
    "users.id": "",
    "users.email": ":email",
    "profiles.user_id": "new_users.id",
    "markets.id": "",
    "markets.last_price": ":price",
    "exchange_accounts.id": ":account_id",
    "exchange_accounts.user_id": "new_users.id",
    "paper_balances.account_id": ":account_id",
    "paper_balances.free": ":balance",
    "price_points.market_id": "new_markets.id",
    "price_points.price": ":price",
}
_NOTHING = text(
    "select not exists (select from plans) and not exists (select from exchanges)"
    " and not exists (select from users) and not exists (select from markets)"
)


def is_empty() -> bool:
    """Tell whether nothing of it is there yet."""
    return bool(db.session.scalar(_NOTHING))


@dataclass(frozen=True)
class Stock:
    """All rows of a customer with a paper account and a pair."""

    rows: dict[str, str]

    @classmethod
    def read(cls) -> "Stock":
        """Remember what there is."""
        return cls(
            {
                table.name: db.session.scalar(
                    text(f"select jsonb_agg(to_jsonb(kept))::text from {table.name} kept")  # noqa: S608
                )
                for table in _TABLES
            }
        )

    def put_back(
        self, number: int, account_id: int, balance: Decimal, price: Decimal
    ) -> tuple[int, int]:
        """Add the rows as made just now; return the numbers of the customer and of the pair."""
        values = {
            "email": f"person{number}@example.org",
            "account_id": account_id,
            "balance": balance,
            "price": price,
            "now": utc_now(),
        }
        user_id, market_id = db.session.execute(_STATEMENT, self.rows | values).one()
        return user_id, market_id


def _insertion(table: Table) -> str:
    """Return the part that adds the rows of a table."""
    values = {column.name: _value(table, column) for column in table.columns}
    values = {name: value for name, value in values.items() if value}
    source = "".join(
        f", {new}" for new in ("new_users", "new_markets") if f"{new}.id" in values.values()
    )
    known = f"jsonb_populate_recordset(null::{table.name}, cast(:{table.name} as jsonb)) kept"
    told = " returning id" if f"{table.name}.id" in _NEW else ""
    return (
        f"new_{table.name} as (insert into {table.name} ({', '.join(values)})"  # noqa: S608
        f" select {', '.join(values.values())} from {known}{source}{told})"
    )


def _value(table: Table, column: Any) -> str:
    given = _NEW.get(f"{table.name}.{column.name}")
    if given is not None:
        return given
    if isinstance(column.type, DateTime) or "time" in type(column.type).__name__.lower():
        return f"case when kept.{column.name} is not null then cast(:now as timestamptz) end"
    return f"kept.{column.name}"


_STATEMENT = text(
    f"with {', '.join(map(_insertion, _TABLES))}"  # noqa: S608
    " select new_users.id, new_markets.id from new_users, new_markets"
)
