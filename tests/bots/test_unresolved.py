"""What a person may say of an order that nobody knows about."""

from datetime import timedelta
from decimal import Decimal

import pytest
from flask import current_app
from sqlalchemy import select

from app.accounts.models import AuditEntry, Role
from app.bots import unresolved
from app.bots.live import clock
from app.bots.models import Bot
from app.bots.queries import bot_card, notices_for
from app.bots.unresolved import VenueAnswer, Verdict, ask_venue, look_again, resolve_order
from app.bots.wording import say
from app.db import db
from app.errors import Conflict, DomainError, InvalidInput, NotFound
from app.transactions import transaction
from tests.answering import answering
from tests.bots.real_desk import Desk
from tests.factories import make_user
from tests.long import few

pytestmark = pytest.mark.usefixtures("database")


class Case:
    """A bot with one order whose answer was lost, and a member of staff."""

    def __init__(self, desk: Desk, *, arrived: bool) -> None:
        self.desk = desk
        desk.tick()
        desk.play("97.9")
        desk.venue.lose_answers, desk.venue.lose_requests = arrived, not arrived
        desk.tick()
        desk.venue.lose_answers = desk.venue.lose_requests = False
        (self.order,) = desk.orders("UNRESOLVED")
        desk.venue.hidden = {self.order.client_id}
        with transaction():
            self.staff = make_user(Role.SUPPORT).id

    def resolve(self, verdict: Verdict, answer: VenueAnswer, reason: str = "I looked") -> None:
        with transaction():
            resolve_order(self.staff, self.order.id, verdict, reason, answer)

    def ask(self) -> VenueAnswer:
        with transaction():
            order = unresolved.stuck_order(self.order.id)
        with answering(current_app._get_current_object()):  # type: ignore[attr-defined]
            return ask_venue(order)

    def refused(self, verdict: Verdict, answer: VenueAnswer, reason: str = "I looked") -> str:
        with pytest.raises(DomainError) as refusal:
            self.resolve(verdict, answer, reason)
        assert isinstance(refusal.value, Conflict | InvalidInput | NotFound)
        return refusal.value.code


@pytest.fixture
def desk(database: None, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(monkeypatch)
    monkeypatch.setattr(unresolved, "open_venue", lambda account_id: desk.venue)
    return desk


def test_what_waits_is_listed_with_its_age_and_last_answer(desk: Desk) -> None:
    case = Case(desk, arrived=False)
    with transaction():
        (row,) = unresolved.stuck_orders()
    assert (row.id, row.bot_id, row.account_id) == (case.order.id, desk.bot, 77)
    assert (row.status, row.error, row.answer) == ("UNRESOLVED", "no_clear_answer", "time-out")
    assert row.since == case.order.doubtful_since
    other = desk.orders("OPEN")[0].id
    with transaction(), pytest.raises(NotFound):
        unresolved.stuck_order(other)


@pytest.mark.parametrize("at_market", [True, False])
def test_its_owner_reads_of_which_order_nobody_knows(desk: Desk, at_market: bool) -> None:
    """One at market has no price; the sentence said "an order at was placed"."""
    if at_market:
        desk.venue.lose_requests = True
        desk.tick()
    else:
        Case(desk, arrived=False)
    with transaction():
        owner = db.session.get_one(Bot, desk.bot).user_id
        (line,) = notices_for(bot_card(owner, desk.bot))
    told = "order at market was placed" if at_market else "an order at 100 was"
    assert told in say(line)


def test_an_order_that_is_certainly_not_there_frees_its_level(desk: Desk) -> None:
    case = Case(desk, arrived=False)
    desk.venue.hidden = set()
    case.resolve(Verdict.CANCELLED, case.ask(), " Support  of the exchange says so ")
    desk.tick()
    (gone,) = desk.orders("CANCELLED")
    assert (gone.id, gone.error) == (case.order.id, "resolved_by_staff")
    assert len(desk.orders("OPEN")) == 10
    assert "order_resolved_cancelled" in desk.world.events(desk.bot)
    desk.assert_one_chain()
    with transaction():
        entry = db.session.scalars(
            select(AuditEntry).where(AuditEntry.action == "order.resolve")
        ).one()
        assert (entry.actor_id, entry.reason) == (case.staff, "Support of the exchange says so")
        assert (entry.before or {})["status"] == "UNRESOLVED"


def test_an_order_that_stands_is_watched_again(desk: Desk) -> None:
    case = Case(desk, arrived=True)
    desk.venue.hidden = set()
    case.resolve(Verdict.OPEN, case.ask())
    desk.play("101")
    desk.tick()
    assert case.order.id in {order.id for order in desk.orders("OPEN", "FILLED")}
    desk.assert_one_chain()


def test_nobody_fills_an_order_by_hand(desk: Desk) -> None:
    case = Case(desk, arrived=True)
    assert case.refused(Verdict.FILLED, VenueAnswer()) == "venue_shows_no_fill"
    desk.venue.hidden = set()
    assert case.refused(Verdict.FILLED, case.ask()) == "venue_shows_no_fill"
    desk.play("101")
    before = desk.world.metrics(desk.bot).fills
    case.resolve(Verdict.FILLED, case.ask())
    # Said is not booked: the fills come from the exchange.
    assert desk.world.metrics(desk.bot).fills == before
    desk.tick()
    assert desk.world.metrics(desk.bot).fills == before + 1
    desk.assert_one_chain()


def test_what_the_exchange_shows_is_not_overruled(desk: Desk) -> None:
    case = Case(desk, arrived=True)
    desk.venue.hidden = set()
    assert case.refused(Verdict.CANCELLED, case.ask()) == "venue_shows_it_open"
    desk.venue.take_away(case.order.client_id)
    assert case.refused(Verdict.OPEN, case.ask()) == "venue_shows_it_closed"


def test_an_order_is_resolved_once(desk: Desk) -> None:
    case = Case(desk, arrived=False)
    case.resolve(Verdict.CANCELLED, VenueAnswer(failure="exchange_unreachable"))
    assert case.refused(Verdict.CANCELLED, VenueAnswer()) == "order_is_resolved"
    assert case.refused(Verdict.OPEN, VenueAnswer()) == "order_is_resolved"


@pytest.mark.parametrize("reason", few(["", "   ", "x" * 301, "a\x00b"], 4))
def test_a_reason_is_needed(desk: Desk, reason: str) -> None:
    case = Case(desk, arrived=False)
    assert case.refused(Verdict.CANCELLED, VenueAnswer(), reason) == "bad_stop_reason"


def test_looking_again_compares_everything_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(desk, arrived=False)
    monkeypatch.setattr(clock, "GRACE", timedelta(0))
    with transaction():
        look_again(case.staff, case.order.id)
    assert desk.account().audited_at is None
    before = len(desk.venue.looks)
    desk.tick()
    assert desk.venue.looks[before] is True
    desk.venue.hidden = set()
    desk.audit()
    assert desk.orders("UNRESOLVED") == []


def test_without_an_answer_the_page_says_why(desk: Desk) -> None:
    case = Case(desk, arrived=False)
    desk.venue.is_away = True
    answer = case.ask()
    assert (answer.is_known, answer.failure) == (False, "exchange_unreachable")
    assert answer.found is None
    assert Decimal(case.order.filled) == 0


def test_foreign_numbers_are_no_orders(desk: Desk) -> None:
    Case(desk, arrived=False)
    for number in (0, -1, 2**63, 999_999):
        with transaction(), pytest.raises(NotFound):
            resolve_order(1, number, Verdict.OPEN, "x y z", VenueAnswer())
