"""The recorded sequence of postings, step by step, and one of our own in the same form."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.errors import Conflict
from app.transactions import transaction
from app.wallet import check
from app.wallet.ledger import post
from app.wallet.rules import Entry, smallest_unit
from tests.conftest import shared_folder
from tests.factories import make_user
from tests.wallet.books import rows_of, sums

pytestmark = pytest.mark.usefixtures("database")

RESULTS = {"posted", "replayed", "conflict", "insufficient"}

OWN: dict[str, Any] = {
    "sign": "debit positive, credit negative",
    "postings": [
        {
            "key": "pay:1",
            "legs": [["psp:demo", "EUR", 1000], ["wallet:u3", "EUR", -1000]],
            "result": "posted",
        },
        {
            "key": "pay:1",
            "legs": [["wallet:u3", "EUR", -1000], ["psp:demo", "EUR", 1000]],
            "result": "replayed",
        },
        {
            "key": "pay:1",
            "legs": [["psp:demo", "EUR", 1001], ["wallet:u3", "EUR", -1001]],
            "result": "conflict",
        },
        {
            "key": "change:1",
            "legs": [
                ["wallet:u3", "EUR", 400],
                ["clearing:exchange", "EUR", -400],
                ["clearing:exchange", "USD", 430],
                ["wallet:u3", "USD", -430],
            ],
            "result": "posted",
        },
        {
            "key": "spend:1",
            "legs": [["wallet:u3", "EUR", 601], ["revenue:one_off", "EUR", -601]],
            "result": "insufficient",
        },
        {
            "key": "points:1",
            "legs": [["clearing:metal", "XAU_ug", 7], ["points:u3", "XAU_ug", -7]],
            "result": "posted",
        },
        {
            "key": "points:2",
            "legs": [["points:u3", "XAU_ug", 8], ["clearing:metal", "XAU_ug", -8]],
            "result": "insufficient",
        },
    ],
    "balances": {
        "psp:demo|EUR": 1000,
        "wallet:u3|EUR": -600,
        "wallet:u3|USD": -430,
        "clearing:exchange|EUR": -400,
        "clearing:exchange|USD": 430,
        "clearing:metal|XAU_ug": 7,
        "points:u3|XAU_ug": -7,
    },
}


def replay(vector: dict[str, Any]) -> None:
    """Post every step and compare its result, then all balances and the books as a whole."""
    assert vector["sign"] == "debit positive, credit negative"
    assert {step["result"] for step in vector["postings"]} <= RESULTS
    accounts = {leg[0] for step in vector["postings"] for leg in step["legs"]}
    for owner in sorted({name.partition(":u")[2] for name in accounts if ":u" in name}):
        with transaction():
            make_user(id=int(owner))
    posted = 0
    for step in vector["postings"]:
        assert result_of(step) == step["result"], step
        posted += step["result"] == "posted"
    assert rows_of("ledger_postings") == posted
    found = {f"{name}|{commodity}": total for (name, commodity), total in sums().items()}
    expected = {
        place: amount * smallest_unit(place.partition("|")[2])
        for place, amount in vector["balances"].items()
    }
    assert found == expected
    assert check.verify().is_whole


def result_of(step: dict[str, Any]) -> str:
    entries = [
        Entry(name, commodity, Decimal(amount) * smallest_unit(commodity))
        for name, commodity, amount in step["legs"]
    ]
    try:
        with transaction():
            replayed = post(step["key"], "vector", entries).replayed
    except Conflict as refused:
        known = {"insufficient_funds": "insufficient", "posting_key_taken": "conflict"}
        return known[refused.code]
    return "replayed" if replayed else "posted"


def test_own_sequence() -> None:
    replay(OWN)


@pytest.mark.shared
@pytest.mark.parametrize(
    "path",
    sorted(shared_folder().glob("data/vectors/ledger*.json")),
    ids=lambda path: path.name,
)
def test_recorded_sequence(path: Path) -> None:
    vector = json.loads(path.read_text())
    if path.stem == "ledger":
        assert {step["result"] for step in vector["postings"]} == RESULTS
        assert len(vector["postings"]) >= 14
    replay(vector)
