"""Where personal data stands, table by table: what people take away, and what stays when they go.

One list for both, so that no table is forgotten by either: a test compares it with the tables that
lead to a person. Money that was moved has to stay in the books, and the audit trail can't be
edited: what stays names its person by a number that leads to nobody any more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, select

from app.db import Base


class Fate(StrEnum):
    """What becomes of rows when their person has left."""

    DELETED = "deleted"
    # Named columns are overwritten.
    EMPTIED = "emptied"
    KEPT = "kept"


# Stands for the moment of the erasure, in a column that is empty so far.
NOW = object()


@dataclass(frozen=True, slots=True)
class Holding:
    """One way in which rows of a table belong to a person.

    `owner` is the column that leads there: to the person's number, or to a column of another table
    of theirs (`through`). `emptied` says what overwrites which column.
    """

    table: str
    why: str
    owner: str = "user_id"
    through: tuple[str, str] | None = None
    exported: bool = False
    fate: Fate = Fate.KEPT
    emptied: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, Any] = field(default_factory=dict)
    # The columns that are taken along; all but secrets if none is named.
    columns: tuple[str, ...] = ()
    name_of: Callable[[int], int | str] = int

    @property
    def rows(self) -> Table:
        return Base.metadata.tables[self.table]

    def belongs_to(self, user_id: int) -> ColumnElement[bool]:
        """Return the condition under which a row is this person's."""
        column = self.rows.c[self.owner]
        limits = [self.rows.c[name] == value for name, value in self.only.items()]
        if self.through is None:
            return and_(column == self.name_of(user_id), *limits)
        table, key = self.through
        between = _way_to(table)
        theirs = select(between.rows.c[key]).where(between.belongs_to(user_id))
        return and_(column.in_(theirs), *limits)


def _way_to(table: str) -> Holding:
    """Return how rows of a table through which others are found belong to a person."""
    return next(one for one in HOLDINGS if one.table == table)


BOTS = ("bots", "id")
LEDGER = ("ledger_accounts", "id")
INVOICES = ("invoices", "id")
PAYMENTS = ("payments", "id")
ACCOUNTS = ("exchange_accounts", "id")
TICKETS = ("support_tickets", "id")
BOOKS = "books: the money that moved"

# In the order in which they are worked off at an erasure: what leads to others goes last.
HOLDINGS: tuple[Holding, ...] = (
    Holding("owner_keys", "the data key: without it nothing sealed opens", fate=Fate.DELETED),
    Holding("one_time_codes", "hashes of codes, ten minutes long", fate=Fate.DELETED),
    Holding(
        "second_factors", "since when it is on; never the secret", exported=True, fate=Fate.DELETED
    ),
    Holding("recovery_codes", "how many, and when used; hashes", exported=True, fate=Fate.DELETED),
    Holding("passkeys", "public halves only", exported=True, fate=Fate.DELETED),
    Holding("sign_in_links", "log-ins elsewhere", exported=True, fate=Fate.DELETED),
    Holding("access_tokens", "never the token", exported=True, fate=Fate.DELETED),
    Holding("api_answers", "answers that a program may ask for again", fate=Fate.DELETED),
    Holding("outbox", "which mails, when; never their texts", exported=True, fate=Fate.DELETED),
    Holding("data_exports", "when data were taken away", exported=True, fate=Fate.DELETED),
    Holding(
        "invites",
        "whom the invitation was for",
        owner="id",
        through=("invite_uses", "invite_id"),
        fate=Fate.EMPTIED,
        emptied={"note": ""},
        only={"uses": 1},
    ),
    Holding("invite_uses", "by which invitation they came", exported=True, fate=Fate.DELETED),
    Holding("invites", "made as staff; the number stays", owner="created_by"),
    Holding("installation", "who set it up; the number stays", owner="administrator_id"),
    Holding(
        "faq_votes",
        "which answers helped",
        owner="voter",
        name_of="user:{}".format,
        exported=True,
        fate=Fate.DELETED,
    ),
    Holding(
        "subscriptions",
        "plans, for the accounts; the reason is free text",
        exported=True,
        fate=Fate.EMPTIED,
        emptied={"reason": ""},
    ),
    Holding("rail_subscriptions", "subscriptions at a provider", exported=True),
    Holding("kept_subscriptions", "subscriptions, for the accounts", exported=True),
    Holding(
        "subscription_items",
        "what was subscribed to",
        owner="kept_id",
        through=("kept_subscriptions", "id"),
        exported=True,
    ),
    Holding(
        "subscription_items",
        "what was subscribed to at a provider",
        owner="rail_subscription_id",
        through=("rail_subscriptions", "id"),
        exported=True,
    ),
    Holding(
        "subscription_history",
        "what happened to subscriptions, for the accounts; staff's reasons stay with staff",
        exported=True,
        columns=("id", "source", "what", "before", "after", "at"),
    ),
    Holding("subscription_reminders", "which reminders, when", exported=True, fate=Fate.DELETED),
    Holding(
        "promo_redemptions",
        "which promotion codes, for the accounts",
        exported=True,
        columns=("id", "key", "state", "period", "reserved_at", "used_at", "released_at"),
    ),
    Holding(
        "rail_commands",
        "what was ordered of a provider; an end may be owed still",
        exported=True,
        columns=("id", "rail", "subscription_ref", "verb", "state", "created_at", "done_at"),
    ),
    Holding("rail_customers", "who they are at a provider", exported=True, fate=Fate.DELETED),
    Holding(
        "invoices",
        BOOKS + "; where to pay goes",
        exported=True,
        fate=Fate.EMPTIED,
        emptied={"pay_url": None},
    ),
    Holding("invoice_lines", BOOKS, owner="invoice_id", through=INVOICES, exported=True),
    Holding("invoice_events", BOOKS, owner="invoice_id", through=INVOICES, exported=True),
    Holding(
        "checkouts",
        BOOKS + "; where to pay goes",
        exported=True,
        fate=Fate.EMPTIED,
        emptied={"url": None},
    ),
    Holding("credit_notes", BOOKS, owner="invoice_id", through=INVOICES, exported=True),
    Holding("disputes", BOOKS, owner="payment_id", through=PAYMENTS, exported=True),
    Holding(
        "payment_alerts",
        "payments that staff look into; of the inside",
        owner="payment_id",
        through=PAYMENTS,
    ),
    Holding(
        "refunds",
        BOOKS + "; the reason is free text",
        owner="payment_id",
        through=PAYMENTS,
        exported=True,
        fate=Fate.EMPTIED,
        emptied={"reason": ""},
    ),
    Holding(
        "payments",
        BOOKS + "; with what they paid goes",
        exported=True,
        fate=Fate.EMPTIED,
        emptied={"method": "", "method_ref": ""},
    ),
    Holding("ledger_accounts", BOOKS, exported=True),
    Holding("ledger_entries", BOOKS, owner="account_id", through=LEDGER, exported=True),
    Holding(
        "ledger_postings",
        BOOKS + "; others may stand in what else it tells",
        owner="id",
        through=("ledger_entries", "posting_id"),
        exported=True,
        columns=("id", "kind", "rail", "at"),
    ),
    Holding("ledger_balances", BOOKS, owner="account_id", through=LEDGER, exported=True),
    Holding("ledger_holds", BOOKS, owner="account_id", through=LEDGER, exported=True),
    Holding(
        "support_messages",
        "what was written in their tickets, by both sides",
        owner="ticket_id",
        through=TICKETS,
        exported=True,
        columns=("id", "ticket_id", "from_staff", "text", "at"),
        fate=Fate.DELETED,
    ),
    Holding("support_messages", "written as staff; the number stays", owner="author_id"),
    Holding(
        "support_notes",
        "notes of staff about their tickets; of the inside",
        owner="ticket_id",
        through=TICKETS,
        fate=Fate.DELETED,
    ),
    Holding("support_notes", "written as staff; the number stays", owner="author_id"),
    Holding(
        "support_tickets",
        "what they asked the support",
        exported=True,
        columns=("id", "subject", "topic", "state", "bot_id", "created_at", "closed_at"),
        fate=Fate.DELETED,
    ),
    Holding("support_tickets", "looked after as staff", owner="assignee_id"),
    Holding(
        "bot_shares",
        "public links",
        owner="bot_id",
        through=BOTS,
        exported=True,
        fate=Fate.DELETED,
    ),
    Holding(
        "bot_events",
        "the logs of bots",
        owner="bot_id",
        through=BOTS,
        exported=True,
        fate=Fate.DELETED,
    ),
    Holding("bot_events", "done as staff to bots of others; the number stays", owner="actor_id"),
    Holding("bot_equity", "curves", owner="bot_id", through=BOTS, exported=True, fate=Fate.DELETED),
    Holding("bot_configs", BOOKS, owner="bot_id", through=BOTS, exported=True),
    Holding("bot_configs", "done as staff to bots of others", owner="created_by"),
    Holding("bot_metrics", BOOKS, owner="bot_id", through=BOTS, exported=True),
    Holding("trades", BOOKS, owner="bot_id", through=BOTS, exported=True),
    Holding("fills", BOOKS, owner="bot_id", through=BOTS, exported=True),
    Holding("funding", BOOKS, owner="bot_id", through=BOTS, exported=True),
    Holding(
        "orders",
        BOOKS + "; the words of the exchange go",
        owner="bot_id",
        through=BOTS,
        exported=True,
        fate=Fate.EMPTIED,
        emptied={"answer": None, "error": None},
    ),
    Holding("paper_orders", BOOKS, owner="account_id", through=ACCOUNTS, exported=True),
    Holding("paper_fills", BOOKS, owner="account_id", through=ACCOUNTS, exported=True),
    Holding("paper_funding", BOOKS, owner="account_id", through=ACCOUNTS, exported=True),
    Holding("paper_balances", BOOKS, owner="account_id", through=ACCOUNTS, exported=True),
    Holding("paper_stakes", BOOKS, owner="account_id", through=ACCOUNTS, exported=True),
    Holding("paper_cursors", "how far prices were played", owner="account_id", through=ACCOUNTS),
    Holding("account_audits", BOOKS, owner="account_id", through=ACCOUNTS, exported=True),
    Holding(
        "account_leases",
        "which worker has the account",
        owner="account_id",
        through=ACCOUNTS,
        fate=Fate.DELETED,
    ),
    Holding(
        "bots",
        BOOKS + "; names and words go",
        exported=True,
        fate=Fate.EMPTIED,
        emptied={
            "name": "—",
            "tags": [],
            "last_error": None,
            "state_reason": {},
            "deleted_at": NOW,
        },
    ),
    Holding(
        "exchange_accounts",
        BOOKS + "; keys and names go",
        exported=True,
        fate=Fate.EMPTIED,
        emptied={
            "label": "—",
            "active": False,
            "sealed_key": None,
            "sealed_secret": None,
            "sealed_passphrase": None,
            "key_fingerprint": None,
            "account_fingerprint": None,
            "last_four": "",
            "permissions": {},
            "check_error": None,
            "deleted_at": NOW,
        },
    ),
    Holding(
        "profiles",
        "opened in profile.json",
        fate=Fate.EMPTIED,
        emptied={
            "name": "",
            "language": "en",
            "timezone": "UTC",
            "sealed_phone": "",
            "phone_confirmed_at": None,
            "sealed_contacts": "",
        },
    ),
    # Overwritten in the last step, which needs the address once more.
    Holding("users", "opened in profile.json; the number stays", owner="id"),
    Holding("audit_log", "can't be edited; in audit_log.json", owner="actor_id"),
    Holding("audit_log", "can't be edited; in audit_log.json", owner="on_behalf_of_id"),
)
