"""Who people are at a rail, and what it keeps to take money by."""

from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from app.db import db
from app.payments.models import RailCustomer


@dataclass(frozen=True, slots=True)
class SavedMethod:
    """What a rail keeps of a person, in words such as "Visa 4242"."""

    rail: str
    method: str


def customer_of(user_id: int, rail: str) -> str | None:
    """Return a person's id at a rail."""
    return db.session.scalar(
        select(RailCustomer.external_id).where(
            RailCustomer.user_id == user_id, RailCustomer.rail == rail
        )
    )


def saved_methods(user_id: int) -> tuple[SavedMethod, ...]:
    """Return what can be charged again without a page of the rail."""
    rows = db.session.scalars(
        select(RailCustomer)
        .where(RailCustomer.user_id == user_id, RailCustomer.method != "")
        .order_by(RailCustomer.rail)
    )
    return tuple(SavedMethod(row.rail, row.method) for row in rows)


def remember(user_id: int, rail: str, external_id: str, method: str = "") -> None:
    """Keep who a person is at a rail; the first one stays, what they pay with may change."""
    statement = insert(RailCustomer).values(
        user_id=user_id, rail=rail, external_id=external_id, method=method
    )
    db.session.execute(statement.on_conflict_do_nothing())
    if method:
        db.session.execute(
            update(RailCustomer)
            .where(
                RailCustomer.user_id == user_id,
                RailCustomer.rail == rail,
                RailCustomer.external_id == external_id,
            )
            .values(method=method)
        )
