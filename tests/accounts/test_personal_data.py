"""Every table that leads to a person is taken along, and thought of when the person leaves."""

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import JSONB

from app.accounts.personal_data import HOLDINGS, Fate
from app.db import Base

# Columns that name people without a foreign key, because their rows outlive the people.
NAMED_ONLY = {
    ("audit_log", "actor_id"),
    ("audit_log", "on_behalf_of_id"),
    ("faq_votes", "voter"),
}
# Tables that nobody owns, though what is owned points at them or they hang on such a one.
NOBODYS: set[str] = set()


def leads_to_people() -> set[tuple[str, str]]:
    """Return each column that names a person by number."""
    return NAMED_ONLY | {
        (table.name, column.name)
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if column.name == "user_id"
        or any(key.column.table.name == "users" for key in column.foreign_keys)
    }


def owned_tables() -> set[str]:
    """Return the tables whose rows belong to somebody, straight or through other rows."""
    owned = {table for table, _ in leads_to_people()}
    while True:
        more = {
            table.name
            for table in Base.metadata.sorted_tables
            if {key.column.table.name for key in table.foreign_keys} & (owned - {"invites"})
        } - owned
        if not more:
            return owned | {"users"}
        owned |= more


def test_every_column_that_names_a_person_is_thought_of(database: None) -> None:
    known = {(holding.table, holding.owner) for holding in HOLDINGS}
    through = {holding.table for holding in HOLDINGS if holding.through}
    missing = {
        (table, column)
        for table, column in leads_to_people() - known
        if not (column == "user_id" and table in through)
    }
    assert missing == set(), "say in app/accounts/personal_data.py what becomes of it"


def test_every_table_that_belongs_to_somebody_is_thought_of(database: None) -> None:
    assert owned_tables() - {holding.table for holding in HOLDINGS} - NOBODYS == set()


def test_what_is_neither_taken_along_nor_kept_says_why(database: None) -> None:
    for holding in HOLDINGS:
        assert holding.why, holding.table
        assert bool(holding.emptied) == (holding.fate is Fate.EMPTIED), holding.table
        assert set(holding.emptied) <= set(holding.rows.columns.keys()), holding.table


def test_each_column_with_a_sealed_value_or_a_name_is_deleted_or_emptied(database: None) -> None:
    """Free text that people wrote, and what is encrypted, is never just kept."""
    telling = {"label", "note", "reason", "recipient", "email"}
    for holding in HOLDINGS:
        if holding.fate is Fate.DELETED or _is_done_elsewhere(holding.rows, holding.owner):
            continue
        wanted = {
            column.name
            for column in holding.rows.columns
            if column.name.startswith("sealed_")
            or (column.name in telling and not isinstance(column.type, JSONB))
        }
        assert wanted <= set(holding.emptied), holding.table


def _is_done_elsewhere(table: Table, owner: str) -> bool:
    # The person's own row loses its name last; numbers of staff lead to rows of others.
    others = {"created_by", "actor_id", "administrator_id", "on_behalf_of_id"}
    return table.name == "users" or owner in others
