"""What managers do with a person's plan and invoices from the page of that person."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import delete, func, select, update

from app.accounts.models import AuditEntry, Role, User
from app.adapters.payments.stripe.dashboard import page_of
from app.db import db, utc_now
from app.formatting.filters import day
from app.money import Money
from app.notifications.models import OutboxMessage
from app.payments import wallet_rail
from app.payments.models import Invoice, Payment, RailCustomer, RailEvent
from app.subscriptions.history import history_of
from app.subscriptions.kept import service as kept
from app.subscriptions.models import RailSubscription, Subscription
from app.subscriptions.periods import LIFETIME, MONTH
from app.subscriptions.queries import Right, WaitingGift, present_right, waiting_gifts
from app.subscriptions.rights import end_for_leaver, hold_best_paid
from app.subscriptions.service import add_price
from app.subscriptions.terms import Choice
from app.transactions import transaction
from app.wallet import service as wallet
from tests.client import Client
from tests.factories import make_user
from tests.long import few
from tests.payments.world import issue

Login = Callable[[User], Client]
REASON = "asked for it by phone"


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', page)
    return found[1] if found else ""


def days_form(staff: Client, user: User, plan: str = "pro", days: int = 30) -> dict[str, str]:
    """Return the form as its page offers it now."""
    page = staff.get(f"/admin/subscriptions/give?user={user.id}").text
    shown = {name: hidden(page, name) for name in ("seen", "seen_end", "shown_at")}
    return {**shown, "plan": plan, "days": str(days), "reason": REASON}


def give(staff: Client, user: User, form: dict[str, str]) -> str:
    path = f"/admin/subscriptions/give?user={user.id}"
    return staff.post_form(path, form, follow_redirects=True).text


def right_of(user: User) -> Right | None:
    db.session.rollback()
    return present_right(user.id)


@pytest.mark.parametrize("act", ["give", "change", "end", "end-paid"])
def test_a_form_names_the_person_whom_it_is_about(user: User, login_as: Login, act: str) -> None:
    clerk = make_user(Role.MANAGER)
    address, own = user.email, clerk.email
    page = login_as(clerk).get(f"/admin/subscriptions/{act}?user={user.id}").text
    assert f">{address}</a>" in page
    assert own not in page


def left(user: User) -> timedelta:
    right = right_of(user)
    assert right is not None and right.until is not None
    return right.until - utc_now()


def audited(action: str) -> int:
    query = select(func.count()).select_from(AuditEntry).where(AuditEntry.action == action)
    return db.session.scalar(query) or 0


def pay_at_provider(user: User, plan: str) -> None:
    with transaction():
        db.session.add(
            RailSubscription(
                user_id=user.id, rail="stripe", external_id="sub_1Paid", state="active",
                price_ref="p", quantity=1, started_at=utc_now(),
                period_end=utc_now() + timedelta(days=20), plan_code=plan,
                is_collection_paused=False, has_pending_update=False,
            )
        )  # fmt: skip
        db.session.flush()
        hold_best_paid(user.id)


def test_given_days_are_active_and_audited_and_given_once(user: User, staff: Client) -> None:
    form = days_form(staff, user)
    pages = [give(staff, user, form) for _ in range(2)]
    assert timedelta(days=29, hours=23) < left(user) <= timedelta(days=30)
    assert all("given by staff: asked for it by phone" in page for page in pages)
    assert audited("subscription.given") == 1
    [change] = history_of(user.id)
    assert (change.source, change.what, change.before) == ("staff", "given", None)


def test_more_days_are_added_to_the_end(user: User, staff: Client) -> None:
    give(staff, user, days_form(staff, user))
    again = days_form(staff, user, days=10)
    for _ in range(2):
        give(staff, user, again)
    assert timedelta(days=39, hours=23) < left(user) <= timedelta(days=40)
    give(staff, user, days_form(staff, user, days=1))
    assert "Somebody has changed this plan meanwhile." in give(staff, user, again)


def test_a_changed_plan_shows_old_and_new_values_in_its_history(user: User, staff: Client) -> None:
    give(staff, user, days_form(staff, user, "premium"))
    path = f"/admin/subscriptions/change?user={user.id}"
    assert "Another plan takes the place of this one at once, smaller or larger" in (
        staff.get(path).text
    )
    form = {"plan": "pro", "until": "2999-01-02T03:04", "reason": REASON}
    page = staff.post_form(path, form, follow_redirects=True).text
    assert "Premium → Pro" in page
    assert "Jan 2, 2999" in page
    right = right_of(user)
    assert right is not None and right.plan_code == "pro"
    staff.post_form(path, {**form, "until": ""})
    right = right_of(user)
    assert right is not None and right.until is None
    answer = give(staff, user, days_form(staff, user))
    assert "This plan has no end, so there is nothing to add days to." in answer


def test_a_given_plan_is_ended_with_a_reason(user: User, staff: Client) -> None:
    give(staff, user, days_form(staff, user))
    path = f"/admin/subscriptions/end?user={user.id}"
    page = staff.post_form(path, {"reason": REASON}, follow_redirects=True).text
    assert "Nothing but the free plan." in page
    assert right_of(user) is None
    assert history_of(user.id)[0].what == "ended"


@pytest.mark.parametrize("act", ["give", "change", "end"])
def test_what_a_colleague_has_given_meanwhile_stays_until_it_was_seen(
    user: User, staff: Client, act: str
) -> None:
    """Two members of staff have the page of a person open; the second one is slower."""
    give(staff, user, days_form(staff, user, "pro"))
    path = f"/admin/subscriptions/{act}?user={user.id}"
    form = days_form(staff, user, "pro") if act == "give" else {"plan": "pro", "reason": REASON}
    form |= {"seen": hidden(staff.get(path).text, "seen"), "until": "2999-01-02T03:04"}
    give(staff, user, days_form(staff, user, "premium", days=300))
    answer = staff.post_form(path, form)
    assert answer.status_code == 422
    assert "Somebody has changed this plan meanwhile." in answer.text
    right = right_of(user)
    assert right is not None and right.plan_code == "premium"
    seen = {name: hidden(answer.text, name) for name in ("seen", "seen_end", "shown_at")}
    assert staff.post_form(path, form | seen).status_code == 303
    right = right_of(user)
    assert right is None if act == "end" else right is not None and right.plan_code == "pro"


def test_a_second_click_ends_no_other_gift_and_changes_nothing_twice(
    user: User, staff: Client
) -> None:
    give(staff, user, days_form(staff, user, "pro"))
    pay_at_provider(user, "pro")
    path = f"/admin/subscriptions/change?user={user.id}"
    form = {"plan": "premium", "until": "2999-01-02T03:04", "reason": REASON}
    form["seen"] = hidden(staff.get(path).text, "seen")
    before = audited("subscription.given")
    assert [staff.post_form(path, form).status_code for _ in range(2)] == [303, 303]
    assert audited("subscription.given") == before + 1
    path = f"/admin/subscriptions/end?user={user.id}"
    form = {"reason": REASON, "seen": hidden(staff.get(path).text, "seen")}
    assert [staff.post_form(path, form).status_code for _ in range(2)] == [303, 422]
    right = right_of(user)
    assert right is not None and (right.plan_code, right.rail) == ("pro", "stripe")
    assert len(waiting_gifts(user.id)) == 1


def test_a_plan_that_is_paid_for_is_not_overruled_by_a_smaller_one(
    user: User, staff: Client
) -> None:
    pay_at_provider(user, "premium")
    page = give(staff, user, days_form(staff, user, "pro"))
    assert "This person pays for the plan Premium, which is as large or larger" in page
    right = right_of(user)
    assert right is not None and (right.plan_code, right.rail) == ("premium", "stripe")
    page = staff.get(f"/admin/users/details/?id={user.id}").text
    assert "is changed and ended by the person, or at the provider" in page
    assert "/admin/subscriptions/end" not in page


def test_a_larger_plan_may_be_given_for_a_while(user: User, staff: Client) -> None:
    pay_at_provider(user, "pro")
    assert "Another plan can be given only if it is larger" in (
        staff.get(f"/admin/subscriptions/give?user={user.id}").text
    )
    give(staff, user, days_form(staff, user, "premium"))
    right = right_of(user)
    assert right is not None and (right.plan_code, right.rail) == ("premium", "")


@pytest.mark.parametrize(
    "change",
    few([{"days": "0"}, {"days": "99999"}, {"plan": "free"}, {"plan": "extra_bot"}, {"reason": ""},
     {"shown_at": "yesterday"}, {"shown_at": "2026-01-01T00:00:00"}], 3),
)  # fmt: skip
def test_absurd_forms_give_nothing(user: User, staff: Client, change: dict[str, str]) -> None:
    path = f"/admin/subscriptions/give?user={user.id}"
    answer = staff.post_form(path, days_form(staff, user) | change)
    assert answer.status_code in {303, 422}
    assert right_of(user) is None


def test_support_sees_the_history_and_may_not_give(
    user: User, staff: Client, login_as: Login
) -> None:
    give(staff, user, days_form(staff, user))
    support = login_as(make_user(Role.SUPPORT))
    page = support.get(f"/admin/users/details/?id={user.id}").text
    assert "was given by staff" in page
    assert "/admin/subscriptions/give" not in page
    for path in ("give", "change", "end"):
        address = f"/admin/subscriptions/{path}?user={user.id}"
        assert support.get(address).status_code == 403
        assert support.post_form(address, {"reason": REASON}).status_code == 403


def test_everything_is_reached_from_the_page_of_the_person(user: User, staff: Client) -> None:
    invoice_id = issue(user.id)
    pay_at_provider(user, "pro")
    with transaction():
        customer = RailCustomer(user_id=user.id, rail="stripe", external_id="cus_1Known")
        db.session.add(customer)
    page = staff.get(f"/admin/users/details/?id={user.id}").text
    for link in (
        f"/admin/invoices/page?id={invoice_id}",
        f"/admin/invoices/issue?user={user.id}",
        f"/admin/subscriptions/give?user={user.id}",
        "https://dashboard.stripe.com/test/customers/cus_1Known",
        "https://dashboard.stripe.com/test/subscriptions/sub_1Paid",
    ):
        assert link in page.replace("&amp;", "&"), link


def test_an_invoice_is_mailed_again_once_a_minute(user: User, staff: Client) -> None:
    invoice_id = issue(user.id)
    path = f"/admin/invoices/resend?id={invoice_id}"
    for status in (303, 422):
        assert staff.post_form(path, {"reason": REASON}).status_code == status
    mails = select(func.count()).where(OutboxMessage.template == "invoice_issued")
    assert db.session.scalar(mails) == 1
    assert audited("invoice.resent") == 1


def test_an_invoice_that_a_provider_keeps_has_no_buttons_but_a_link(
    user: User, staff: Client
) -> None:
    invoice_id = issue(user.id)
    with transaction():
        invoice = db.session.get_one(Invoice, invoice_id)
        invoice.rail, invoice.external_id = "stripe", "in_1Theirs"
        db.session.add(
            Payment(
                user_id=user.id, invoice_id=invoice_id, purpose="subscription", rail="stripe",
                external_id="pi_1Money", state="pending", amount=29, currency="USD",
            )
        )  # fmt: skip
    page = staff.get(f"/admin/invoices/page?id={invoice_id}").text
    assert "/admin/invoices/close" not in page and "/admin/invoices/resend" not in page
    assert "keeps this invoice" in page
    assert "https://dashboard.stripe.com/test/invoices/in_1Theirs" in page
    assert "test mode" in page
    assert "dashboard.stripe.com/test/payments/pi_1Money" in staff.get("/admin/payments/").text
    for path in ("resend", "close"):
        form = {"reason": REASON, "how": "void"}
        staff.post_form(f"/admin/invoices/{path}?id={invoice_id}", form)
    assert audited("invoice.resent") == audited("invoice.voided") == 0


def test_callbacks_that_nobody_applies_any_more_wait_on_the_first_page(
    user: User, staff: Client
) -> None:
    with transaction():
        db.session.add(
            RailEvent(
                rail="stripe", external_id="evt_1", type="invoice.paid", group_key="g", refs=[],
                body="{}", api_version="", livemode=False, state="dead", happened_at=utc_now(),
            )
        )  # fmt: skip
    page = staff.get("/admin/").text
    assert "Callbacks of providers that could not be applied" in page
    address = re.search(r'href="(/admin/callbacks/\?[^"]*)"', page)
    assert address and "evt_1" in staff.get(address[1]).text


def test_ids_of_stripe_have_a_page_there_and_other_texts_none() -> None:
    assert page_of("in_1x", is_live=True) == "https://dashboard.stripe.com/invoices/in_1x"
    assert page_of("pi_1x", is_live=False) == "https://dashboard.stripe.com/test/payments/pi_1x"
    assert page_of("price_1", is_live=True) is None
    assert page_of("in_1/../../x", is_live=True) is None


def test_no_days_are_given_beyond_the_end_of_the_calendar(user: User, staff: Client) -> None:
    form = {"plan": "pro", "until": "9999-12-31T23:00", "reason": REASON}
    staff.post_form(f"/admin/subscriptions/change?user={user.id}", form)
    before = right_of(user)
    assert give(staff, user, days_form(staff, user)) and right_of(user) == before
    assert audited("subscription.given") == 1


def test_a_reason_is_kept_without_what_no_column_holds(user: User, staff: Client) -> None:
    path = "/admin/invoices/issue"
    form = {
        "user_id": str(user.id), "kind": "plan", "description": "Pro", "amount": "5.00",
        "currency": "USD", "days": "1", "reason": f"{REASON}\x00", "key": "ab" * 16,
    }  # fmt: skip
    assert staff.post_form(path, form).status_code == 303
    assert db.session.scalars(select(AuditEntry.reason).order_by(AuditEntry.id.desc())).first() == (
        REASON
    )


@pytest.mark.parametrize("after", ["\x00", "\n", "a" * 300])
def test_a_key_that_was_tampered_with_issues_nothing(user: User, staff: Client, after: str) -> None:
    form = {
        "user_id": str(user.id), "kind": "plan", "description": "Pro", "amount": "5.00",
        "currency": "USD", "days": "1", "reason": REASON, "key": "ab" * 16 + after,
    }  # fmt: skip
    assert staff.post_form("/admin/invoices/issue", form).status_code == 422
    assert db.session.scalar(select(func.count(Invoice.id))) == 0


def test_the_hidden_moment_of_a_form_is_a_time(user: User, staff: Client) -> None:
    assert datetime.fromisoformat(days_form(staff, user)["shown_at"]).tzinfo is not None


def test_a_gift_waits_while_more_is_paid_for_and_its_days_come_back(
    user: User, staff: Client, login_as: Login
) -> None:
    give(staff, user, days_form(staff, user, days=10))
    pay_at_provider(user, "premium")
    assert waiting_gifts(user.id) == (WaitingGift("Pro", 10),)
    assert "10 days of it are left" in login_as(user).get("/subscriptions").text
    with transaction():
        gift = db.session.scalars(select(Subscription).where(Subscription.rail == "")).one()
        assert gift.waits_since is not None and gift.ends_at is not None
        # Twenty days pass.
        gift.waits_since -= timedelta(days=20)
        gift.ends_at -= timedelta(days=20)
        db.session.execute(update(RailSubscription).values(plan_code=None))
        hold_best_paid(user.id)
    right = right_of(user)
    assert right is not None and (right.plan_code, right.rail) == ("pro", "")
    assert timedelta(days=9, hours=23) < left(user) <= timedelta(days=10)
    assert [one.what for one in history_of(user.id)] == ["back", "set_aside", "given"]
    page = staff.get(f"/admin/users/details/?id={user.id}").text
    assert "waits while as much or more is paid for" in page and "holds again until" in page


def test_a_gift_to_the_end_of_the_calendar_comes_back_from_waiting(
    user: User, staff: Client
) -> None:
    form = {"plan": "pro", "until": "9999-12-31T23:00", "reason": REASON}
    staff.post_form(f"/admin/subscriptions/change?user={user.id}", form)
    pay_at_provider(user, "premium")
    with transaction():
        gift = db.session.scalars(select(Subscription).where(Subscription.rail == "")).one()
        assert gift.waits_since is not None
        gift.waits_since -= timedelta(days=20)
        db.session.execute(delete(RailSubscription))
        hold_best_paid(user.id)
    right = right_of(user)
    assert right is not None and right.until is not None
    assert (right.plan_code, right.until.year) == ("pro", 9999)


def test_a_gift_is_larger_than_what_is_paid_for_later(user: User, staff: Client) -> None:
    give(staff, user, days_form(staff, user, "pro"))
    pay_at_provider(user, "premium")
    with transaction():
        db.session.execute(update(RailSubscription).values(plan_code="free"))
        hold_best_paid(user.id)
    right = right_of(user)
    assert right is not None and (right.plan_code, right.rail) == ("pro", "")


def test_a_gift_that_waits_is_ended_by_staff_and_with_the_account(
    user: User, staff: Client
) -> None:
    path = f"/admin/subscriptions/end?user={user.id}"
    for end in (
        lambda: staff.post_form(path, {"reason": REASON}),
        lambda: end_for_leaver(user.id),
    ):
        with transaction():
            db.session.execute(delete(RailSubscription))
            hold_best_paid(user.id)
        give(staff, user, days_form(staff, user))
        pay_at_provider(user, "premium")
        with transaction():
            end()
        assert waiting_gifts(user.id) == ()


def test_days_of_a_plan_that_a_provider_keeps_are_refused_with_what_they_come_to(
    user: User, staff: Client
) -> None:
    pay_at_provider(user, "pro")
    page = give(staff, user, days_form(staff, user, days=10))
    assert "Give money back instead" in page


def pay_here(user: User, choice: Choice) -> None:
    with transaction():
        gift = Money(Decimal(2000), "USD")
        wallet.grant(f"gift:{choice.period.code}", user.id, gift, actor_id=None, reason="a gift")
        invoice_id = kept.start(user.id, choice, "wallet", f"order:{choice.period.code}")
        assert invoice_id is not None
        wallet_rail.pay_invoice(user.id, invoice_id)


def test_who_rents_only_a_bot_is_not_said_to_have_nothing(user: User, staff: Client) -> None:
    pay_here(user, Choice(None, MONTH, {"extra_bot": 1}))
    until = day(MONTH.after(utc_now()))
    told = f"The free plan and Extra bot, paid by: Wallet. Active. It renews by itself on {until}."
    for path in (
        f"/admin/users/details/?id={user.id}",
        f"/admin/subscriptions/end-paid?user={user.id}",
    ):
        page = staff.get(path).text
        assert told in page
        assert "Nothing but the free plan." not in page


def test_staff_end_what_is_paid_to_us_with_its_period_or_at_once(user: User, staff: Client) -> None:
    pay_here(user, Choice("pro", MONTH))
    path = f"/admin/subscriptions/end-paid?user={user.id}"
    assert path in staff.get(f"/admin/users/details/?id={user.id}").text
    form = {"seen": hidden(staff.get(path).text, "seen"), "reason": REASON}
    answer = staff.post_form(path, {**form, "seen": "999", "how": "now"}, follow_redirects=True)
    assert "Something has changed meanwhile." in answer.text
    for _ in range(2):
        assert (
            "Done." in staff.post_form(path, {**form, "how": "period"}, follow_redirects=True).text
        )
    assert audited("subscription.ended") == 1
    right = right_of(user)
    assert right is not None and right.until is not None
    staff.post_form(path, {**form, "how": "now"})
    assert right_of(user) is None and audited("subscription.ended") == 2
    page = staff.get(f"/admin/users/details/?id={user.id}").text
    assert "Pro was ended by staff." in page and path not in page


def test_staff_end_what_was_bought_for_life(user: User, staff: Client) -> None:
    """A bank may have taken the money back, and nobody else can end it."""
    with transaction():
        add_price(None, "pro", Decimal(500), period=LIFETIME)
    pay_here(user, Choice("pro", LIFETIME))
    path = f"/admin/subscriptions/end-paid?user={user.id}"
    page = staff.get(path).text
    assert 'value="period"' not in page
    staff.post_form(path, {"seen": hidden(page, "seen"), "how": "now", "reason": REASON})
    assert right_of(user) is None


def test_a_paid_plan_is_told_with_the_day_until_which_it_is_paid(
    user: User, staff: Client, login_as: Login
) -> None:
    pay_here(user, Choice("premium", MONTH))
    until = day(MONTH.after(utc_now()))
    told = f"Premium, paid by: Wallet. Active. It renews by itself on {until}."
    person = f"/admin/users/details/?id={user.id}"
    paths = [
        person,
        *(f"/admin/subscriptions/{act}?user={user.id}" for act in ("give", "end-paid")),
    ]
    for path in paths:
        page = staff.get(path).text
        assert told in page and "Without an end." not in page, path
    change = "/subscriptions/change?plan=pro&period=month"
    customer = login_as(user)
    token = hidden(customer.get(change).text, "token")
    customer.post_form(change, {"plan": "pro", "period": "month", "token": token})
    assert f"From {until} on: Pro." in staff.get(person).text


def test_the_history_speaks_words_and_names_who_did_it(user: User, login_as: Login) -> None:
    clerk = make_user(Role.MANAGER)
    address = clerk.email
    staff = login_as(clerk)
    pay_here(user, Choice("pro", MONTH, {"extra_bot": 2}))
    give(staff, user, days_form(staff, user))
    page = staff.get(f"/admin/users/details/?id={user.id}").text
    for words in (
        "Plan: — → Pro<",
        "Price: — → 39.00\u00a0USD<",
        "Add-ons: — → 2 × Extra bot<",
        "Period: — → By the month<",
    ):
        assert words in page, words
    assert "Currency: " not in page and "extra_bot" not in page and f">{address}</a>" in page


def test_an_invoice_is_issued_to_somebody_by_name(user: User, staff: Client) -> None:
    assert f">{user.email}</a>" in staff.get(f"/admin/invoices/issue?user={user.id}").text
    assert user.email not in staff.get("/admin/invoices/issue").text


def test_support_ends_nothing_that_is_paid_for(user: User, login_as: Login) -> None:
    pay_here(user, Choice("pro", MONTH))
    support = login_as(make_user(Role.SUPPORT))
    path = f"/admin/subscriptions/end-paid?user={user.id}"
    form = {"seen": "1", "how": "now", "reason": REASON}
    assert support.post_form(path, form).status_code == support.get(path).status_code
    assert right_of(user) is not None
