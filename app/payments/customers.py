"""Who people are at a rail, and what it keeps to take money by."""

from dataclasses import dataclass

from sqlalchemy import Select, and_, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute

from app.accounts.locks import lock_person
from app.accounts.models import ERASED, User
from app.adapters.payments import rail_named
from app.adapters.payments.port import RailCustomer as SeenCustomer
from app.adapters.payments.port import Ref
from app.db import db
from app.payments.models import Dispute, Payment, RailCustomer
from app.payments.rules import TAKEN_BY_BANK


@dataclass(frozen=True, slots=True)
class SavedMethod:
    """What a rail keeps of a person, in words such as "Visa 4242"."""

    rail: str
    method: str


@dataclass(frozen=True, slots=True)
class RailName:
    """Who a person is at a rail."""

    rail: str
    external_id: str


def names_at_rails(user_id: int) -> tuple[RailName, ...]:
    """Return a person's ids at all rails."""
    rows = db.session.execute(
        select(RailCustomer.rail, RailCustomer.external_id)
        .where(RailCustomer.user_id == user_id)
        .order_by(RailCustomer.rail)
    )
    return tuple(RailName(*row) for row in rows)


def customer_of(user_id: int, rail: str) -> str | None:
    """Return a person's id at a rail."""
    return db.session.scalar(
        select(RailCustomer.external_id).where(
            RailCustomer.user_id == user_id, RailCustomer.rail == rail
        )
    )


def saved_methods(user_id: int) -> tuple[SavedMethod, ...]:
    """Return what can be charged again without a page of the rail.

    Not what was disputed, unless we won: who has called a charge wrong is asked, not charged.
    """
    # Rows of before cards were known by the rail's own names have words only.
    is_same = or_(
        and_(Payment.method_ref != "", Payment.method_ref == RailCustomer.method_ref),
        and_(
            or_(Payment.method_ref == "", RailCustomer.method_ref == ""),
            Payment.method == RailCustomer.method,
        ),
    )
    disputed = _disputed(RailCustomer.user_id, RailCustomer.rail).where(is_same)
    rows = db.session.scalars(
        select(RailCustomer)
        .where(RailCustomer.user_id == user_id, RailCustomer.method != "", ~disputed.exists())
        .order_by(RailCustomer.rail)
    )
    return tuple(SavedMethod(row.rail, row.method) for row in rows)


def disputed_refs(user_id: int, rail: str) -> frozenset[str]:
    """Return the rail's own names of what is not charged by itself, whatever it has kept."""
    found = db.session.scalars(_disputed(user_id, rail).with_only_columns(Payment.method_ref))
    return frozenset(found) - {""}


def _disputed(
    user_id: int | InstrumentedAttribute[int], rail: str | InstrumentedAttribute[str]
) -> Select[int]:
    return (
        select(Dispute.id)
        .join(Payment, Payment.id == Dispute.payment_id)
        .where(
            Payment.user_id == user_id,
            Payment.rail == rail,
            Dispute.state.in_(TAKEN_BY_BANK),
        )
    )


def remember(
    user_id: int, rail: str, external_id: str, method: str = "", method_ref: str = ""
) -> None:
    """Keep who a person is at a rail; the first one stays, what they pay with may change.

    Of somebody who is erased nothing is kept any more.
    """
    if _is_erased(user_id):
        return
    method_ref = method_ref if method else ""
    statement = insert(RailCustomer).values(
        user_id=user_id, rail=rail, external_id=external_id, method=method, method_ref=method_ref
    )
    db.session.execute(statement.on_conflict_do_nothing())
    if method:
        note_method(user_id, rail, external_id, method, method_ref)


def note_method(user_id: int, rail: str, external_id: str, method: str, method_ref: str) -> None:
    """Note what a known customer pays with; for one who is not known nothing happens."""
    db.session.execute(
        update(RailCustomer)
        .where(
            RailCustomer.user_id == user_id,
            RailCustomer.rail == rail,
            RailCustomer.external_id == external_id,
            # Each callback comes by here: what is known is not written again.
            or_(RailCustomer.method != method, RailCustomer.method_ref != method_ref),
        )
        .values(method=method, method_ref=method_ref)
    )


def lock_owner(rail: str, external_id: str | None, marked: int | None) -> int | None:
    """Return whose a customer of a rail is, under the lock of that person; None for nobody's.

    Who is known already counts; else `marked`, the mark that we left at the rail.
    """
    return _lock(_owner_of(rail, external_id), marked)


def lock_payer(rail: str, external_id: str | None, marked: int | None) -> int | None:
    """Return the owner like `lock_owner`, for news of something else that names the customer.

    One who is not known yet is remembered, unless the rail has deleted them: late news of what
    they bought must not bring them back.
    """
    known = _owner_of(rail, external_id)
    owner = _lock(known, marked)
    if owner is None or not external_id or known is not None:
        return owner
    seen = rail_named(rail).fetch(Ref("customer", external_id))
    if not isinstance(seen, SeenCustomer) or not seen.is_deleted:
        remember(owner, rail, external_id)
    return owner


def _owner_of(rail: str, external_id: str | None) -> int | None:
    return db.session.scalar(
        select(RailCustomer.user_id).where(
            RailCustomer.rail == rail, RailCustomer.external_id == external_id
        )
    )


def _lock(known: int | None, marked: int | None) -> int | None:
    owner = marked if known is None else known
    return owner if owner is not None and lock_person(owner) else None


def _is_erased(user_id: int) -> bool:
    """Tell whether nothing about a person may be kept any more."""
    reason = db.session.scalar(select(User.blocked_reason).where(User.id == user_id))
    return reason == ERASED


def forget(rail: str, external_id: str) -> bool:
    """Forget a customer that is no more at a rail; tell whether it was known."""
    gone = db.session.scalar(
        delete(RailCustomer)
        .where(RailCustomer.rail == rail, RailCustomer.external_id == external_id)
        .returning(RailCustomer.user_id)
    )
    return gone is not None
