"""Our side when subscriptions are compared with those at their provider."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select

from app.adapters.payments.books import Figures
from app.db import db
from app.payments.books.sides import Side, compare_with
from app.subscriptions.models import RailSubscription

_ENDED = ("canceled", "incomplete_expired")


def _subscriptions(rail: str, ids: Collection[str]) -> dict[str, Figures]:
    rows = db.session.scalars(
        select(RailSubscription).where(
            RailSubscription.rail == rail, RailSubscription.external_id.in_(ids)
        )
    )
    return {
        row.external_id: {
            "state": row.state,
            "price": row.price_ref,
            "period_end": _seconds(row.period_end),
            "cancel_at": _seconds(row.cancel_at),
            "trial_end": _seconds(row.trial_end),
            "is_collection_paused": str(row.is_collection_paused),
            "has_pending_update": str(row.has_pending_update),
        }
        for row in rows
    }


def _live(rail: str, _since: datetime) -> Select[Any]:
    return select(RailSubscription.external_id).where(
        RailSubscription.rail == rail, RailSubscription.state.not_in(_ENDED)
    )


def _seconds(moment: datetime | None) -> str:
    return "" if moment is None else str(int(moment.timestamp()))


compare_with(Side("subscription", _subscriptions, _live))
