"""Two people who must not meet, and the addresses of every route with ids of one of them."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from flask import Flask
from sqlalchemy import func, select, text
from werkzeug.routing import Rule

from app.accounts import session_store
from app.accounts.access import GUARD
from app.accounts.exports import orders
from app.accounts.exports.jobs import build_export
from app.accounts.models import AccessToken, Role, User
from app.accounts.openid.models import SignInLink
from app.accounts.passkeys.models import Passkey
from app.bots.models import Bot
from app.db import db
from app.exchanges.models import ExchangeAccount
from app.money import Money
from app.payments import checkouts, refunds, wallet_rail
from app.payments import service as payments
from app.payments.models import CreditNote, Payment
from app.payments.rules import Line, LineKind, NewInvoice, RefundTarget
from app.subscriptions.kept import service as subscriptions
from app.subscriptions.periods import MONTH
from app.subscriptions.promotions import service as promotions
from app.subscriptions.promotions.rules import Terms
from app.subscriptions.terms import Choice, Discount
from app.support import service as support
from app.trades.models import OrderRow, TradeRow
from app.transactions import transaction
from app.wallet import service
from tests.api.programs import give_token
from tests.bots.shop import Shop
from tests.factories import make_account, make_user

# Stands in every name that the first person has given to something.
MARK = "Zanzibar-Quokka"

# Ids in addresses that belong to somebody. A new one must be added here and to `Owner.ids`.
OWNED = frozenset(
    {
        "bot_id", "account_id", "trade_id", "token_id", "passkey_id", "export_id", "posting_id",
        "link_id", "invoice_id", "checkout_id", "ticket_id", "note_id",
    }
)  # fmt: skip
# Parts of addresses that are the same for everybody.
SHARED: Mapping[str, object] = {
    "action": "register",
    "market_id": 1,
    "slug": "what-is-a-grid-bot",
    "page": "terms",
    "name": "orders",
    "provider": "google",
    # Who has the link of a shared card may see it; nobody has this one.
    "token": "no-such-link",
    # The provider of the demonstration: who has the address of a page may pay there.
    "page_id": "no-such-page",
    "try_id": "no-such-try",
    "rail": "demo",
    "plan": "pro",
    "filename": "css/botyard.css",
    "export_type": "csv",
}
# Names under which routes take ids besides their address; each is tried with every id.
SENT_NAMES = (
    "id", "bot_id", "bot", "account_id", "account", "trade_id", "order_id", "token_id", "user_id",
    "user", "from", "passkey_id", "key", "job_id", "code", "rowid", "pk", "list_form_pk",
)  # fmt: skip

# Rows of the first person, as they must stay whatever the second one sends.
GUARDED_TABLES = (
    "users", "profiles", "owner_keys", "access_tokens", "passkeys", "sign_in_links",
    "exchange_accounts", "paper_balances", "paper_orders", "bots", "orders", "fills", "trades",
    "ledger_accounts", "ledger_postings", "ledger_entries", "ledger_balances", "ledger_holds",
    "invoices", "invoice_events", "checkouts", "payments", "kept_subscriptions",
    "subscription_items", "subscription_history", "promo_redemptions", "subscriptions",
    "plans", "plan_prices", "promo_codes", "refunds", "credit_notes", "disputes", "payment_alerts",
    "rail_events", "rail_commands",
    "support_tickets", "support_messages", "support_notes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Owner:
    """The first person and all that belongs to them."""

    shop: Shop
    user_id: int
    email: str
    token: str
    ids: Mapping[str, object]

    def session_keys(self) -> list[str]:
        """Return the names of this person's sessions."""
        return [one.key for one in session_store.list_sessions(self.user_id)]


def make_owner() -> Owner:
    """Make a person with a bot that has traded, an account and a token, all with the mark."""
    shop = Shop.open()
    bot_id = shop.run_bot("97.9", "100.1", "97.9", "100.1", "98")
    token = give_token(shop.user_id, label=f"{MARK} token")
    with transaction():
        user = db.session.get_one(User, shop.user_id)
        user.email = f"{MARK.lower()}@example.org"
        user.profile.name = f"{MARK} person"
        db.session.get_one(ExchangeAccount, shop.account_id).label = f"{MARK} account"
        db.session.get_one(Bot, bot_id).name = f"{MARK} bot"
        passkey = Passkey(
            user_id=user.id, name=f"{MARK} key", credential_id="owners", public_key="x",
            user_handle="owner", rp_id="localhost",
        )  # fmt: skip
        link = SignInLink(
            user_id=user.id, issuer="https://id.example", subject="owner", email=f"{MARK}@x.org"
        )
        db.session.add_all([passkey, link])
        email = user.email
        posting_id = service.grant(
            "mark", shop.user_id, Money(Decimal(5), "USD"), actor_id=None, reason=f"{MARK} credit"
        ).id
    trade = db.session.scalar(select(func.min(TradeRow.id)).where(TradeRow.bot_id == bot_id))
    order = db.session.scalar(select(func.min(OrderRow.id)).where(OrderRow.bot_id == bot_id))
    token_id = db.session.scalars(select(AccessToken.id)).one()
    assert trade is not None and order is not None
    with transaction():
        promotions.make(None, Terms(Discount("ZANZIBAR", percent=Decimal(10))))
        choice = Choice("pro", MONTH, promo="ZANZIBAR")
        subscriptions.start(shop.user_id, choice, "wallet", f"{MARK} order")
    invoice_id, checkout_id = _make_invoice(shop.user_id)
    ids = {
        "invoice_id": invoice_id,
        "ticket_id": _make_ticket(shop.user_id),
        "checkout_id": checkout_id,
        "note_id": _make_credit_note(shop.user_id),
        "bot_id": bot_id,
        "account_id": shop.account_id,
        "trade_id": trade,
        "token_id": token_id,
        "link_id": db.session.scalars(select(SignInLink.id)).one(),
        "passkey_id": db.session.scalars(select(Passkey.id)).one(),
        "posting_id": posting_id,
        "order_id": order,
        "user_id": shop.user_id,
        "export_id": make_export(shop.user_id),
    }
    db.session.rollback()
    return Owner(shop, shop.user_id, email, token, ids)


SAME_NUMBERS = """
do $$
declare
    start bigint := (select max(last_value) + %s from pg_sequences where schemaname = 'public');
begin
    perform setval(format('%%I.%%I', schemaname, sequencename), start)
        from pg_sequences where schemaname = 'public';
end
$$
"""


def make_owner_of_one_number(as_owner: Callable[[str], None]) -> Owner:
    """Make the same person; the first row of each of their tables has the same number.

    What others make afterwards has numbers that none of these rows has.
    """
    as_owner(SAME_NUMBERS % 1)
    owner = make_owner()
    as_owner(SAME_NUMBERS % 1_000)
    return owner


def make_export(user_id: int) -> int:
    """Let a person's data be in a file; return its number."""
    with transaction():
        export_id = orders.ask(user_id, "")
    build_export(export_id)
    return export_id


def _make_invoice(user_id: int) -> tuple[int, int]:
    """Issue an invoice and have a page to pay it on."""
    line = Line(LineKind.OTHER, f"{MARK} line", Money(Decimal(5), "USD"))
    with transaction():
        invoice_id = payments.issue(NewInvoice(f"{MARK} key", user_id, (line,)), "ordered").id
    with transaction():
        want = checkouts.want_invoice(user_id, invoice_id)
        return invoice_id, checkouts.prepare(user_id, "demo", want).checkout_id


def _make_credit_note(user_id: int) -> int:
    """Give a part of a paid invoice back; return the number of the document of that."""
    line = Line(LineKind.OTHER, f"{MARK} line", Money(Decimal(2), "USD"))
    with transaction():
        paid = payments.issue(NewInvoice(f"{MARK} paid", user_id, (line,)), "ordered").id
        wallet_rail.pay_invoice(user_id, paid)
    payment_id = db.session.scalars(select(Payment.id).where(Payment.invoice_id == paid)).one()
    with transaction():
        refunds.ask(f"{MARK} back", payment_id, Decimal(1), RefundTarget.WALLET, None, MARK)
    return db.session.scalars(select(CreditNote.id).where(CreditNote.invoice_id == paid)).one()


def _make_ticket(user_id: int) -> int:
    """Open a ticket that staff have answered and written a note about."""
    with transaction():
        draft = support.Draft("owner", f"{MARK} subject", "bots", f"{MARK} question")
        ticket_id = support.open_ticket(user_id, draft)
    with transaction():
        staff_id = make_user(Role.SUPPORT).id
        support.answer(staff_id, ticket_id, "answer", f"{MARK} answer")
        support.note(staff_id, ticket_id, "note", f"{MARK} note")
    return ticket_id


def make_stranger() -> User:
    """Make a second person with an account of their own."""
    with transaction():
        stranger = make_user()
        make_account(stranger)
    return stranger


def snapshot(user_id: int) -> dict[str, list[str]]:
    """Return the rows of the guarded tables that are not the stranger's, as text."""
    db.session.rollback()
    rows: dict[str, list[str]] = {}
    for table in GUARDED_TABLES:
        found = db.session.scalars(text(f"select row_to_json(t)::text from {table} t"))  # noqa: S608 - our own names
        strangers = f'"user_id":{user_id},'
        kept = [row for row in found if strangers not in row and f'"id":{user_id},' not in row]
        rows[table] = sorted(kept)
    db.session.rollback()
    return rows


def rules(app: Flask, *, desk: bool) -> Iterator[Rule]:
    """Yield the rules of the staff desk, or all others."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/admin") == desk and not rule.endpoint.endswith("static"):
            yield rule


def address(rule: Rule, ids: Mapping[str, object]) -> str:
    """Return the path of a rule with ids in it; raise KeyError for a part nobody knows."""
    values = {**SHARED, **ids}
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(values[found[1]]), rule.rule)


def has_owned_id(rule: Rule) -> bool:
    """Tell whether an address names something that belongs to somebody."""
    return bool(rule.arguments & OWNED)


def guard_of(app: Flask, rule: Rule) -> Any:
    """Return what guards a route of ours."""
    return getattr(app.view_functions[rule.endpoint], GUARD, None)


def methods(rule: Rule) -> list[str]:
    """Return the methods that a rule takes, without the free ones."""
    return sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})


def source_of(app: Flask, rule: Rule) -> str:
    """Return the code behind a rule."""
    return inspect.getsource(inspect.unwrap(app.view_functions[rule.endpoint]))
