"""Refuse binary floats where money, prices and quantities are handled.

A float literal, the name `float`, or the module `math` in such a module is a fault, unless it is
asked for in order to refuse it (`isinstance(value, float)`), or the line says that it measures time
(a comment `# time`).
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MONEY = (
    "app/money.py",
    "app/trading/",
    "app/trades/",
    "app/bots/live/",
    "app/bots/figures.py",
    "app/bots/funds.py",
    "app/bots/inventory.py",
    "app/bots/metrics.py",
    "app/bots/planning.py",
    "app/bots/queries/pastrun.py",
    "app/bots/rules.py",
    "app/bots/running.py",
    "app/bots/service.py",
    "app/bots/starting.py",
    "app/bots/stopping.py",
    "app/bots/ties.py",
    "app/exchanges/audits.py",
    "app/exchanges/paper.py",
    "app/exchanges/paper_rows.py",
    "app/exchanges/queries.py",
    "app/adapters/exchanges/ccxt.py",
    "app/adapters/exchanges/looking.py",
    "app/adapters/exchanges/reading.py",
    "app/pages/showcase.py",
    "app/wallet/",
)
EXCUSE = "# time"
# These ask the number itself, so a Decimal stays exact.
EXACT = {"ceil", "floor"}


def main() -> int:
    """Print every fault; return the exit code."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what} in a module of money"
        for path in sorted(money_modules())
        for line, what in floats_in(path.read_text())
    ]
    sys.stdout.write("".join(f"{line}\n" for line in found or ["no float touches money"]))
    return 1 if found else 0


def money_modules() -> Iterator[Path]:
    """Name the files of MONEY; raise FileNotFoundError for one that is gone."""
    for name in MONEY:
        path = ROOT / name
        if not path.exists():
            raise FileNotFoundError(name)
        yield from path.rglob("*.py") if path.is_dir() else [path]


def floats_in(source: str) -> list[tuple[int, str]]:
    """Return the lines of a module that handle floats, and how."""
    tree, lines = ast.parse(source), source.splitlines()
    asked = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "isinstance"
        for part in ast.walk(node)
    }
    found = [
        (node.lineno, what)
        for node in ast.walk(tree)
        if isinstance(node, ast.expr | ast.Import | ast.ImportFrom)
        and id(node) not in asked
        and (what := _float_of(node))
        and EXCUSE not in lines[node.lineno - 1]
    ]
    return sorted(found)


def _float_of(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
        return f"the float {node.value!r}"
    if isinstance(node, ast.Name) and node.id == "float":
        return "float"
    if isinstance(node, ast.Import) and any(name.name == "math" for name in node.names):
        return "math"
    if isinstance(node, ast.ImportFrom) and node.module == "math":
        return "" if {name.name for name in node.names} <= EXACT else "math"
    return ""


if __name__ == "__main__":
    sys.exit(main())
