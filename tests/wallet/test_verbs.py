"""What each verb moves, which keys it takes, and what it refuses."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from app.accounts.models import AuditEntry
from app.db import db, utc_now
from app.errors import Conflict, DomainError, InvalidInput, NotFound
from app.money import Money
from app.transactions import transaction
from app.wallet import check, disputes, holds, jobs, service
from app.wallet.rules import HoldState, Line
from tests.wallet.books import D, kept, make_wallet, sums, usd, wallet_sum

pytestmark = pytest.mark.usefixtures("database")

PRO = [Line("subscription", D("29.00"))]


def moved(user_id: int, act: Callable[[], object]) -> dict[str, str]:
    """Do something in a transaction; return what it moved, the person's number left out."""
    before = sums()
    with transaction():
        act()
    after = sums()
    changes = {place: after[place] - before.get(place, 0) for place in after}
    assert check.verify().is_whole
    return {
        f"{name.replace(f'u{user_id}', 'me')} {commodity}": format(change.normalize(), "f")
        for (name, commodity), change in changes.items()
        if change
    }


def test_a_top_up_is_the_persons_in_full_and_the_fee_is_ours() -> None:
    me = make_wallet()
    assert moved(me, lambda: service.top_up("a", me, "stripe", usd("50"), fee=D("1.75"))) == {
        "psp:stripe USD": "48.25", "expense:fees USD": "1.75", "wallet:me USD": "-50",
    }  # fmt: skip


def test_a_payment_has_gross_fee_tax_income_and_what_is_left_over() -> None:
    me = make_wallet()
    lines = [*PRO, Line("rental", D(5)), Line("rental", D(2))]

    def act() -> None:
        service.settle_payment(
            "a", me, "stripe", usd("45"), lines, tax=D("7.20"), fee=D("1.61"), refs=("invoice:1",)
        )

    assert moved(me, act) == {
        "psp:stripe USD": "43.39", "expense:fees USD": "1.61", "revenue:subscription USD": "-29",
        "revenue:rental USD": "-7", "tax:payable USD": "-7.2", "wallet:me USD": "-1.8",
    }  # fmt: skip


def test_a_wallet_pays_and_is_paid_back() -> None:
    me = make_wallet("40")
    assert moved(me, lambda: service.pay_from_wallet("a", me, "USD", PRO, tax=D(5))) == {
        "wallet:me USD": "34", "revenue:subscription USD": "-29", "tax:payable USD": "-5",
    }  # fmt: skip
    assert moved(me, lambda: service.refund_to_wallet("b", me, usd("34"), tax=D(5))) == {
        "contra:refunds USD": "29", "tax:payable USD": "5", "wallet:me USD": "-34",
    }  # fmt: skip


def test_money_goes_back_by_the_rail_from_our_books_or_from_the_wallet() -> None:
    me = make_wallet("40")
    assert moved(me, lambda: service.refund_to_rail("a", "stripe", usd("10"), tax=D(2))) == {
        "contra:refunds USD": "8", "tax:payable USD": "2", "psp:stripe USD": "-10",
    }  # fmt: skip
    assert moved(me, lambda: service.refund_top_up("b", me, "stripe", usd("40"))) == {
        "wallet:me USD": "40", "psp:stripe USD": "-40",
    }  # fmt: skip
    with pytest.raises(Conflict, match="insufficient_funds"), transaction():
        service.refund_top_up("c", me, "stripe", usd("0.01"))


def test_late_fees_and_payouts_stand_apart() -> None:
    me = make_wallet()
    assert moved(me, lambda: service.record_fee("a", "stripe", usd("1.17"))) == {
        "expense:fees USD": "1.17", "psp:stripe USD": "-1.17",
    }  # fmt: skip
    assert moved(me, lambda: service.pay_out("b", "stripe", usd("100"))) == {
        "bank:main USD": "100", "psp:stripe USD": "-100",
    }  # fmt: skip


def test_a_grant_has_a_reason_and_an_entry_in_the_audit_trail_once() -> None:
    me = make_wallet()

    def act() -> None:
        for _ in range(2):
            service.grant("a", me, usd("5"), actor_id=me, reason="Sorry for the outage")

    assert moved(me, act) == {"expense:grants USD": "5", "wallet:me USD": "-5"}
    entries = db.session.scalars(select(AuditEntry)).all()
    assert [(one.action, one.object_id) for one in entries] == [("wallet.granted", str(me))]
    with pytest.raises(InvalidInput), transaction():
        service.grant("b", me, usd("5"), actor_id=me, reason="")


def test_money_is_changed_through_the_clearing_account() -> None:
    me = make_wallet("10")
    euros = Money(D("9.21"), "EUR")
    assert moved(me, lambda: service.exchange("a", me, usd("10"), euros, source="test")) == {
        "wallet:me USD": "10", "clearing:exchange USD": "-10",
        "clearing:exchange EUR": "9.21", "wallet:me EUR": "-9.21",
    }  # fmt: skip
    with pytest.raises(Conflict, match="insufficient_funds"), transaction():
        service.exchange("b", me, usd("0.01"), euros, source="test")
    assert wallet_sum(me, "EUR") == D("9.21")


@pytest.mark.parametrize(
    ("code", "act"),
    [
        ("amount_not_positive", lambda me: service.top_up("a", me, "demo", usd("0"))),
        ("amount_not_positive", lambda me: service.top_up("a", me, "demo", usd("-1"))),
        ("fee_out_of_range", lambda me: service.top_up("a", me, "demo", usd("1"), fee=D("1.01"))),
        ("fee_out_of_range", lambda me: service.top_up("a", me, "demo", usd("1"), fee=D(-1))),
        ("amount_too_fine", lambda me: service.top_up("a", me, "demo", usd("1"), fee=D("0.001"))),
        ("payment_below_lines", lambda me: service.settle_payment("a", me, "d", usd("28"), PRO)),
        ("amount_not_positive", lambda me: service.settle_payment("a", me, "d", usd("28"), [])),
        (
            "amount_not_positive",
            lambda me: service.pay_from_wallet("a", me, "USD", [Line("rental", D(-1))]),
        ),
        ("amount_not_positive", lambda me: service.pay_from_wallet("a", me, "USD", [])),
        ("amount_not_positive", lambda me: service.pay_from_wallet("a", me, "USD", PRO, tax=D(-1))),
        ("unknown_ledger_account", lambda me: service.top_up("a", me, "De mo", usd("1"))),
        ("unknown_ledger_account", lambda me: service.top_up("a", -1, "demo", usd("1"))),
        ("tax_out_of_range", lambda me: service.refund_to_wallet("a", me, usd("1"), tax=D(2))),
        ("same_currency", lambda me: service.exchange("a", me, usd("1"), usd("1"), source="x")),
        ("bad_posting_reference", lambda me: service.pay_out("a", "d", usd("1"), refs=("a b",))),
        (
            "wallet_part_out_of_range",
            lambda me: disputes.open_dispute("d:1", me, "d", usd("1"), wallet_part=D(2)),
        ),
    ],
)
def test_amounts_that_make_no_sense_are_refused(code: str, act: Callable[[int], object]) -> None:
    me = make_wallet("100")
    with pytest.raises(InvalidInput, match=code), transaction():
        act(me)
    assert wallet_sum(me) == 100


# --- holds ----------------------------------------------------------------------------------------


def in_an_hour() -> Any:
    return utc_now() + timedelta(hours=1)


def put_aside(me: int, amount: str = "30", key: str = "h", **values: Any) -> holds.HoldView:
    with transaction():
        return holds.hold(key, me, usd(amount), **{"expires_at": in_an_hour(), **values})


def test_what_is_held_cannot_be_spent_and_is_still_there() -> None:
    me = make_wallet("40")
    assert put_aside(me).state is HoldState.PENDING
    assert put_aside(me).replayed
    assert kept(f"wallet:u{me}") == (-40, 30)
    with pytest.raises(Conflict, match="insufficient_funds") as refused, transaction():
        service.pay_from_wallet("a", me, "USD", PRO)
    assert refused.value.values["available"] == 10
    with pytest.raises(Conflict, match="insufficient_funds"):
        put_aside(me, "10.01", "other")
    with pytest.raises(Conflict, match="posting_key_taken"):
        put_aside(me, "31")
    assert check.verify().is_whole


def test_a_hold_is_taken_once_and_the_rest_is_free() -> None:
    me = make_wallet("40")
    put_aside(me)
    for replayed in (False, True):
        with transaction():
            assert holds.capture("h", "pay", PRO, refs=("invoice:1",)).replayed is replayed
    assert kept(f"wallet:u{me}") == (-11, 0)
    for key in ("again", "start"):
        with pytest.raises(Conflict, match="hold_closed"), transaction():
            holds.capture("h", key, PRO)
    with transaction():
        assert holds.release("h").state is HoldState.CAPTURED
    assert check.verify().is_whole


def test_a_hold_gives_no_more_than_it_holds() -> None:
    me = make_wallet("400")
    put_aside(me, "28.99")
    with pytest.raises(InvalidInput, match="more_than_held"), transaction():
        holds.capture("h", "pay", PRO)
    with pytest.raises(Conflict, match="posting_key_taken"), transaction():
        put = service.pay_from_wallet("taken", me, "USD", [Line("rental", D(1))])
        assert not put.replayed
        holds.capture("h", "taken", [Line("rental", D(1))])
    with pytest.raises(NotFound), transaction():
        holds.release("nothing")


def test_a_hold_is_let_go_or_ends_with_its_time() -> None:
    me = make_wallet("40")
    put_aside(me)
    with transaction():
        assert holds.release("h").state is HoldState.RELEASED
    with pytest.raises(Conflict, match="hold_closed"), transaction():
        holds.capture("h", "pay", PRO)
    put_aside(me, "20", "late", expires_at=utc_now() - timedelta(seconds=1))
    put_aside(me, "20", "live")
    with pytest.raises(Conflict, match="hold_closed"), transaction():
        holds.capture("late", "pay", [Line("rental", D(1))])
    jobs.expire_holds()
    jobs.expire_holds()
    states = db.session.execute(text("select key, state from ledger_holds order by id")).all()
    assert [tuple(row) for row in states] == [
        ("h", "released"), ("late", "expired"), ("live", "pending"),
    ]  # fmt: skip
    assert kept(f"wallet:u{me}") == (-40, 20)
    assert check.verify().is_whole


@pytest.mark.parametrize(
    "statement",
    [
        "update ledger_holds set state = 'pending', closed_at = null where key = 'done'",
        "update ledger_holds set state = 'captured', posting_key = 'x' where key = 'done'",
        "update ledger_holds set amount = 1 where key = 'h'",
        "update ledger_holds set account_id = account_id + 1 where key = 'h'",
        "update ledger_holds set state = 'released' where key = 'h'",
        "insert into ledger_holds (key, account_id, amount, state, refs, expires_at, closed_at)"
        " select 'n', account_id, 1, 'released', '[]', now(), now() from ledger_holds limit 1",
        "insert into ledger_holds (key, account_id, amount, state, refs, expires_at)"
        " select 'n', id, 1, 'pending', '[]', now() from ledger_accounts where guard = 0 limit 1",
    ],
)
def test_the_database_lets_a_hold_end_only_once(statement: str) -> None:
    me = make_wallet("40")
    put_aside(me, "5")
    put_aside(me, "6", "done")
    with transaction():
        holds.release("done")
    with pytest.raises(IntegrityError):
        db.session.execute(text(statement))
    db.session.rollback()
    assert kept(f"wallet:u{me}") == (-40, 5)


# --- disputes -------------------------------------------------------------------------------------


def test_a_dispute_freezes_what_the_wallet_still_has_of_it() -> None:
    me = make_wallet("35")

    def act() -> None:
        disputes.open_dispute("stripe:dp_1", me, "stripe", usd("50"), wallet_part=D(50))

    assert moved(me, act) == {
        "dispute:stripe USD": "50", "psp:stripe USD": "-50",
        "wallet:me USD": "35", "frozen:me USD": "-35",
    }  # fmt: skip
    with transaction():
        service.top_up("later", me, "demo", usd("20"))
    # The event again, when the wallet holds something else.
    assert moved(me, act) == {}


def test_a_won_dispute_gives_everything_back() -> None:
    me = make_wallet("35")
    with transaction():
        disputes.open_dispute("stripe:dp_1", me, "stripe", usd("50"), wallet_part=D(50))

    def act() -> None:
        disputes.win_dispute("stripe:dp_1")

    assert moved(me, act) == {
        "dispute:stripe USD": "-50", "psp:stripe USD": "50",
        "wallet:me USD": "-35", "frozen:me USD": "35",
    }  # fmt: skip
    assert moved(me, act) == {}
    with pytest.raises(Conflict, match="dispute_decided"), transaction():
        disputes.lose_dispute("stripe:dp_1")


def test_a_lost_dispute_takes_the_frozen_money_then_the_wallet_then_is_our_loss() -> None:
    me = make_wallet("35")
    with transaction():
        disputes.open_dispute("stripe:dp_1", me, "stripe", usd("50"), wallet_part=D(45))
        service.top_up("later", me, "demo", usd("7"))

    def act() -> None:
        disputes.lose_dispute("stripe:dp_1")

    assert moved(me, act) == {
        "frozen:me USD": "35", "wallet:me USD": "7", "loss:chargeback USD": "8",
        "dispute:stripe USD": "-50",
    }  # fmt: skip
    with transaction():
        service.top_up("last", me, "demo", usd("9"))
    assert moved(me, act) == {}
    assert wallet_sum(me) == 9


def test_a_dispute_that_is_won_after_it_was_lost_gives_everything_back() -> None:
    me = make_wallet("35")
    with transaction():
        disputes.open_dispute("stripe:dp_1", me, "stripe", usd("50"), wallet_part=D(45))
        disputes.freeze_more("stripe:dp_1", "refund-1", D(5))
        service.top_up("later", me, "demo", usd("7"))
        disputes.lose_dispute("stripe:dp_1")
        service.top_up("last", me, "demo", usd("9"))
        disputes.freeze_more("stripe:dp_1", "refund-2", D(4))
    assert wallet_sum(me) == 5
    assert sums()["loss:chargeback", "USD"] == 4

    def act() -> None:
        disputes.win_dispute("stripe:dp_1")

    assert moved(me, act) == {
        "wallet:me USD": "-46", "loss:chargeback USD": "-4", "psp:stripe USD": "50",
    }  # fmt: skip
    assert moved(me, act) == {}
    assert kept(f"frozen:u{me}") == (0, 0)


def test_a_lost_dispute_never_takes_more_than_the_wallet_got_of_the_payment() -> None:
    me = make_wallet("100")
    with transaction():
        disputes.open_dispute("stripe:dp_1", me, "stripe", usd("50"), wallet_part=D(10))
        disputes.lose_dispute("stripe:dp_1")
    assert wallet_sum(me) == 90
    assert sums()["loss:chargeback", "USD"] == 40


def test_what_was_held_is_not_frozen_too() -> None:
    me = make_wallet("35")
    put_aside(me, "30")
    with transaction():
        disputes.open_dispute("stripe:dp_1", me, "stripe", usd("50"), wallet_part=D(50))
    assert kept(f"wallet:u{me}") == (-30, 30)
    assert kept(f"frozen:u{me}") == (-5, 0)


@pytest.mark.parametrize("act", [disputes.win_dispute, disputes.lose_dispute])
def test_a_dispute_that_nobody_opened_is_not_decided(act: Callable[[str], object]) -> None:
    with pytest.raises(NotFound), transaction():
        act("stripe:dp_1")


def test_every_code_has_a_sentence() -> None:
    import re
    from pathlib import Path

    from app.i18n import has_text

    folder = Path(service.__file__).parent
    raised = {
        code
        for path in folder.glob("*.py")
        for code in re.findall(r'(?:Conflict|InvalidInput|NotFound)\(\s*"(\w+)"', path.read_text())
    }
    assert len(raised) > 15
    assert {code for code in raised if not has_text(code)} == set()
    assert issubclass(Conflict, DomainError)
