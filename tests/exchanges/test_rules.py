from decimal import Decimal

import pytest

from app.errors import InvalidInput
from app.exchanges.rules import check_balance, clean_key, clean_label, fingerprint, last_four


def test_label_loses_needless_blanks_and_keeps_letters_of_any_language() -> None:
    assert clean_label("  Мой   счёт ") == "Мой счёт"
    assert clean_label("🚀 moon") == "🚀 moon"


def test_key_loses_what_copying_added() -> None:
    assert clean_key("  abcdefgh1234\n", "key") == "abcdefgh1234"


def test_short_passphrase_is_a_passphrase() -> None:
    assert clean_key("abc", "passphrase") == "abc"


@pytest.mark.parametrize("amount", ["10", "100000000", "10.12345678"])
def test_sensible_paper_money(amount: str) -> None:
    assert check_balance(Decimal(amount)) == Decimal(amount)


def test_infinite_money_is_refused() -> None:
    with pytest.raises(InvalidInput):
        check_balance(Decimal("Infinity"))


def test_fingerprint_differs_by_exchange_site_and_key_and_holds_no_key() -> None:
    found = {
        fingerprint("bybit", False, "key-one-123"),
        fingerprint("bybit", True, "key-one-123"),
        fingerprint("okx", False, "key-one-123"),
        fingerprint("bybit", False, "key-two-123"),
    }
    assert len(found) == 4
    assert all("key" not in one for one in found)
    assert last_four("abcdefgh") == "efgh"
