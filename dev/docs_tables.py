"""Keep the tables of docs/architecture equal to the code: `python -m dev.docs_tables [--write]`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.accounts.models import Role
from app.accounts.permissions import Permission, may
from app.accounts.personal_data import HOLDINGS
from app.bots.rules import STATE_TABLE
from app.exchanges.catalogue import VENUES
from app.subscriptions.kept.rules import STATE_TABLE as KEPT_TABLE
from app.subscriptions.rules import STATE_TABLE as SUBSCRIPTION_TABLE
from app.support.rules import STATE_TABLE as TICKET_TABLE

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "architecture"


def roles_table() -> str:
    """Return who may do what, a permission a line."""
    lines = ["| permission | " + " | ".join(Role) + " |", "|---" * (len(Role) + 1) + "|"]
    for permission in Permission:
        marks = ("yes" if may(role, permission) else "" for role in Role)
        lines.append(f"| `{permission}` | " + " | ".join(marks) + " |")
    return "\n".join(lines)


def states_table() -> str:
    """Return which action leads where from each state of a bot."""
    lines = ["| state | what may be asked of it |", "|---|---|"]
    for state, actions in STATE_TABLE.items():
        asked = ", ".join(f"{action} → {following}" for action, following in actions.items())
        lines.append(f"| {state} | {asked} |")
    return "\n".join(lines)


def subscriptions_diagram() -> str:
    """Return the states of somebody's right to a plan as a diagram."""
    return _diagram(SUBSCRIPTION_TABLE, "active: plan given")


def kept_diagram() -> str:
    """Return the states of a subscription that we keep as a diagram."""
    return _diagram(KEPT_TABLE, "incomplete: ordered", "trialing: tried")


def tickets_diagram() -> str:
    """Return the states of a ticket as a diagram."""
    return _diagram(TICKET_TABLE, "open: a customer asks")


def _diagram(table: Mapping[Any, Mapping[Any, Any]], *first: str) -> str:
    lines = ["```mermaid", "stateDiagram-v2", *(f"    [*] --> {begin}" for begin in first)]
    for state, changes in table.items():
        lines += [f"    {state} --> {after}: {change}" for change, after in changes.items()]
        if not changes:
            lines.append(f"    {state} --> [*]")
    return "\n".join([*lines, "```"])


def venues_table() -> str:
    """Return what each trading platform can do with us, one a line."""
    lines = [
        "| platform | spot | contracts | test site | passphrase | stops rest there | doubted for |",
        "|---" * 7 + "|",
    ]
    for venue in VENUES.values():
        able = (venue.spot, venue.futures, venue.has_testnet, venue.needs_passphrase)
        marks = ["yes" if one else "" for one in (*able, venue.has_stops)]
        cells = [venue.name, *marks, f"{venue.absence_grace_s} s"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def holdings_table() -> str:
    """Return which table holds what about people, and what becomes of it."""
    lines = [
        "| table | by | why, or what of it | taken along | when they leave |",
        "|---" * 5 + "|",
    ]
    for one in HOLDINGS:
        cells = [f"`{one.table}`", f"`{one.owner}`", one.why]
        cells += ["yes" if one.exported else "", one.fate.value]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


TABLES = {
    "personal data": ("personal-data.md", holdings_table),
    "roles": ("roles.md", roles_table),
    "bot states": ("bots.md", states_table),
    "subscription states": ("billing.md", subscriptions_diagram),
    "ticket states": ("support.md", tickets_diagram),
    "kept states": ("subscriptions.md", kept_diagram),
    "platforms": ("trading-platforms.md", venues_table),
}


def with_tables(name: str, text: str) -> str:
    """Return a page with its tables made anew between their marks."""
    for mark, (page, table) in TABLES.items():
        if page == name:
            before, _, rest = text.partition(f"<!-- {mark} -->\n")
            _, end, after = rest.partition(f"<!-- end of {mark} -->")
            text = f"{before}<!-- {mark} -->\n{table()}\n{end}{after}"
    return text


def stale_pages() -> list[str]:
    """Return the pages whose tables differ from the code."""
    pages = sorted({page for page, _ in TABLES.values()})
    return [
        page
        for page in pages
        if with_tables(page, (FOLDER / page).read_text()) != (FOLDER / page).read_text()
    ]


def main() -> int:
    """Check, or write with --write; return the exit code."""
    stale = stale_pages()
    if "--write" in sys.argv:
        for page in stale:
            path = FOLDER / page
            path.write_text(with_tables(page, path.read_text()))
        return 0
    for page in stale:
        print(f"docs/architecture/{page} differs from the code: python -m dev.docs_tables --write")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
