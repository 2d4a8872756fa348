"""The pure tables: what news of a rail mean, how income is shared, how tax comes back."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.adapters.payments import port
from app.errors import InvalidInput
from app.money import Money
from app.payments import rules
from app.payments.rules import (
    InvoiceState,
    Known,
    Line,
    LineKind,
    Note,
    PaymentState,
    Seen,
    Verdict,
    add_up,
    check_issued,
    decide,
    income_shares,
    shown_state,
    tax_share,
)

DUE = Money(Decimal("29.00"), "USD")
LESS, MORE = Money(Decimal("28.99"), "USD"), Money(Decimal("29.01"), "USD")
OTHER = Money(Decimal("29.00"), "EUR")
P, S, V = PaymentState, InvoiceState, Verdict

TABLE = [
    # ours, invoice, theirs, received, verdict, notes
    (P.PENDING, S.OPEN, P.SUCCEEDED, DUE, V.CONFIRM, ()),
    (P.FAILED, S.OPEN, P.SUCCEEDED, DUE, V.CONFIRM, ()),
    (P.CANCELED, S.OPEN, P.SUCCEEDED, DUE, V.CONFIRM, ()),
    (P.PENDING, S.UNCOLLECTIBLE, P.SUCCEEDED, DUE, V.CONFIRM, (Note.LATE,)),
    (P.PENDING, S.OPEN, P.SUCCEEDED, MORE, V.CONFIRM, (Note.OVER,)),
    (P.PENDING, S.UNCOLLECTIBLE, P.SUCCEEDED, MORE, V.CONFIRM, (Note.OVER, Note.LATE)),
    (P.PENDING, S.OPEN, P.SUCCEEDED, LESS, V.HOLD, (Note.UNDER,)),
    (P.PENDING, S.UNCOLLECTIBLE, P.SUCCEEDED, LESS, V.HOLD, (Note.UNDER, Note.LATE)),
    (P.PENDING, S.OPEN, P.SUCCEEDED, OTHER, V.HOLD, (Note.WRONG_CURRENCY,)),
    (P.PENDING, S.VOID, P.SUCCEEDED, OTHER, V.HOLD, (Note.WRONG_CURRENCY, Note.LATE)),
    (P.PENDING, S.VOID, P.SUCCEEDED, DUE, V.HOLD, (Note.LATE,)),
    (P.PENDING, S.PAID, P.SUCCEEDED, DUE, V.HOLD, (Note.LATE,)),
    (P.PENDING, None, P.SUCCEEDED, LESS, V.CONFIRM, ()),
    (P.PENDING, None, P.SUCCEEDED, OTHER, V.CONFIRM, ()),
    (P.PENDING, S.OPEN, P.PENDING, DUE, V.NONE, ()),
    (P.FAILED, S.OPEN, P.PENDING, DUE, V.PENDING, ()),
    (P.CANCELED, None, P.PENDING, DUE, V.PENDING, ()),
    (P.PENDING, S.OPEN, P.FAILED, DUE, V.FAIL, ()),
    (P.PENDING, S.PAID, P.FAILED, DUE, V.FAIL, ()),
    (P.PENDING, None, P.CANCELED, DUE, V.FAIL, ()),
    (P.FAILED, S.OPEN, P.CANCELED, DUE, V.FAIL, ()),
    (P.FAILED, S.OPEN, P.FAILED, DUE, V.NONE, ()),
    (P.CANCELED, S.OPEN, P.CANCELED, DUE, V.NONE, ()),
]


@pytest.mark.parametrize(("ours", "invoice", "theirs", "received", "verdict", "notes"), TABLE)
def test_the_table_of_decisions(
    ours: PaymentState,
    invoice: InvoiceState | None,
    theirs: PaymentState,
    received: Money,
    verdict: Verdict,
    notes: tuple[Note, ...],
) -> None:
    decision = decide(Known(ours, invoice, DUE), Seen(theirs, received))
    assert (decision.verdict, decision.notes) == (verdict, notes)


@pytest.mark.parametrize("theirs", list(P))
@pytest.mark.parametrize("invoice", [None, *S])
def test_a_success_is_final_whatever_comes_after_it(
    invoice: InvoiceState | None, theirs: PaymentState
) -> None:
    for money in (DUE, LESS, MORE, OTHER):
        decided = decide(Known(P.SUCCEEDED, invoice, DUE), Seen(theirs, money))
        assert decided.verdict is V.NONE


@pytest.mark.parametrize("ours", list(P))
@pytest.mark.parametrize("theirs", list(P))
@pytest.mark.parametrize("invoice", [None, *S])
def test_every_case_is_decided_and_only_money_confirms(
    ours: PaymentState, theirs: PaymentState, invoice: InvoiceState | None
) -> None:
    verdict = decide(Known(ours, invoice, DUE), Seen(theirs, DUE)).verdict
    confirms = verdict is V.CONFIRM
    if confirms or verdict is V.HOLD:
        assert theirs is P.SUCCEEDED and ours is not P.SUCCEEDED
    assert not confirms or invoice in {None, S.OPEN, S.UNCOLLECTIBLE}


def test_the_words_of_the_port_are_ours() -> None:
    assert {one.value for one in port.RailState} == {one.value for one in PaymentState}
    assert {one.value for one in port.DisputeState} == {one.value for one in rules.DisputeState}
    assert {one.value for one in port.CheckoutState} < {one.value for one in rules.CheckoutState}


def test_income_is_what_the_lines_are_for_less_the_discount() -> None:
    lines = [
        (LineKind.PLAN, Decimal(50)),
        (LineKind.PRORATION, Decimal(-20)),
        (LineKind.BOT, Decimal(10)),
        (LineKind.TOP_UP, Decimal(100)),
    ]
    assert income_shares(lines, Decimal(5)) == {"subscription": Decimal(25), "rental": Decimal(10)}
    assert income_shares([(LineKind.OTHER, Decimal(5))], Decimal(5)) == {}
    credit = [(LineKind.PLAN, Decimal(30)), (LineKind.SHOP, Decimal(-10))]
    assert income_shares(credit, Decimal(0)) == {"subscription": Decimal(20)}


CENTS = st.integers(0, 10_000_00).map(lambda cents: Decimal(cents) / 100)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(list(LineKind)), CENTS), max_size=8), CENTS)
def test_income_is_never_negative_and_never_more_than_was_asked(
    lines: list[tuple[LineKind, Decimal]], discount: Decimal
) -> None:
    shares = income_shares(lines, discount)
    earned = sum((amount for kind, amount in lines if kind != LineKind.TOP_UP), Decimal(0))
    assert all(amount > 0 for amount in shares.values())
    assert sum(shares.values(), Decimal(0)) == max(earned - discount, Decimal(0))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(CENTS.filter(bool), min_size=1, max_size=6), CENTS)
def test_parts_of_a_refund_bring_back_exactly_the_tax(parts: list[Decimal], tax: Decimal) -> None:
    total, before, back = sum(parts, Decimal(0)), Decimal(0), Decimal(0)
    tax = min(tax, total)
    for part in parts:
        back += tax_share(Money(tax, "USD"), total, part, before)
        before += part
    assert back == tax


@pytest.mark.parametrize(
    ("currency", "tax", "total", "parts"),
    [
        ("JPY", "395", "4350", ("1450", "1450", "1450")),
        ("KWD", "0.817", "8.990", ("3", "5.99")),
        ("CHF", "0.33", "3.00", ("1", "1", "1")),
    ],
)
def test_tax_in_parts_of_a_refund_is_in_whole_units_of_its_currency(
    currency: str, tax: str, total: str, parts: tuple[str, ...]
) -> None:
    before, shares = Decimal(0), []
    for part in map(Decimal, parts):
        share = Money(
            tax_share(Money(Decimal(tax), currency), Decimal(total), part, before), currency
        )
        assert share == share.rounded()
        shares.append(share.amount)
        before += part
    assert sum(shares) == Decimal(tax)


@pytest.mark.parametrize(("currency", "amount"), [("VND", "2054000"), ("IDR", "1300000.00")])
def test_what_a_provider_asks_for_may_be_more_than_we_ever_ask_for(
    currency: str, amount: str
) -> None:
    line = Line(LineKind.PLAN, "Premium", Money(Decimal(amount), currency))
    totals = add_up((line,))
    assert totals.total.amount == Decimal(amount)
    with pytest.raises(InvalidInput, match="invoice_amount"):
        check_issued((line,), totals)


@pytest.mark.parametrize("amount", ["1e30", "-1e30", "1e999"])
def test_what_can_not_be_booked_is_refused(amount: str) -> None:
    with pytest.raises(InvalidInput, match="invoice_amount"):
        add_up((Line(LineKind.OTHER, "Much", Money(Decimal(amount), "USD")),))


NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "back", "due_in", "failed", "shown"),
    [
        (S.OPEN, 0, 1, False, "open"),
        (S.OPEN, 0, None, False, "open"),
        (S.OPEN, 0, -1, True, "overdue"),
        (S.OPEN, 0, 1, True, "payment_failed"),
        (S.PAID, 0, -1, True, "paid"),
        (S.PAID, 10, -1, False, "partly_refunded"),
        (S.PAID, 29, -1, False, "refunded"),
        (S.VOID, 0, -1, True, "void"),
    ],
)
def test_people_read_refunds_and_due_dates_as_states(
    state: InvoiceState, back: int, due_in: int | None, failed: bool, shown: str
) -> None:
    due = NOW + timedelta(days=due_in) if due_in is not None else None
    assert shown_state(state, DUE.amount, Decimal(back), due, NOW, failed=failed) == shown


@pytest.mark.parametrize(
    ("currency", "fine", "charged"),
    [
        ("KWD", "5.124", "5.120"), ("BHD", "5.125", "5.130"), ("KWD", "5.13", "5.13"),
        ("ISK", "5.50", "6"), ("JPY", "5", "5"), ("USD", "0.01", "0.01"),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_what_banks_take(currency: str, fine: str, charged: str) -> None:
    """Stripe: the last digit of thousandths is a nought; what it tells itself stays as it is."""
    money, asked = Money(Decimal(fine), currency), Money(Decimal(charged), currency)
    assert (money.rounded(), money.chargeable()) == (money, asked)
    line = Line(LineKind.PLAN, "Pro", money)
    totals = add_up((line,))
    if asked == money:
        check_issued((line,), totals)
    else:
        with pytest.raises(InvalidInput, match="not_chargeable") as caught:
            check_issued((line,), totals)
        assert caught.value.field == "amount"
