"""The state of an invoice is read by everybody and set in one place."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

APP = Path(__file__).resolve().parents[2] / "app"
KEEPER = APP / "payments" / "invoices.py"
SQL = re.compile(r"\b(update|insert\s+into|delete\s+from)\s+(public\.)?invoices\b", re.IGNORECASE)
WRITERS = {"update", "insert", "delete"}
PARTS = {"state", "number", "paid_at", "closed_at", "opened_at"}


def writes(source: str) -> Iterator[int]:
    """Yield the lines that set what only the keeper of invoices may set."""
    for node in ast.walk(ast.parse(source)):
        targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
        for target in targets:
            for one in getattr(target, "elts", [target]):
                if isinstance(one, ast.Attribute) and one.attr in PARTS:
                    owner = one.value
                    if isinstance(owner, ast.Name) and "invoice" in owner.id.lower():
                        yield one.lineno
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            first = node.args[0] if node.args else None
            is_table = isinstance(first, ast.Name) and first.id == "Invoice"
            if (node.func.id in WRITERS and is_table) or node.func.id == "Invoice":
                yield node.lineno
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and SQL.search(node.value)
        ):
            yield node.lineno


def test_only_one_file_sets_the_state_of_an_invoice() -> None:
    found = {
        (path.relative_to(APP).as_posix(), line)
        for path in APP.rglob("*.py")
        if path != KEEPER
        if "invoice" in (source := path.read_text()).lower()
        for line in writes(source)
    }
    assert found == set(), "move invoices through app/payments/invoices.py"
    assert list(writes(KEEPER.read_text())), "the keeper itself is seen"


def test_what_is_looked_for_is_found() -> None:
    for line in (
        "invoice.state = 'paid'",
        "the_invoice.number, x = 1, 2",
        "update(Invoice).values(state='paid')",
        "Invoice(state='paid')",
        "text('UPDATE invoices set state = 1')",
    ):
        assert list(writes(line)), line
    assert not list(writes("payment.state = invoice.state"))
