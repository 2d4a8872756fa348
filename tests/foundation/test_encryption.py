import base64
import os

import pytest

from app.encryption import Binding, DecryptionError, KeyRing, new_key, parse_key_ring

HERE = Binding("exchange_accounts", "sealed_key", 7, 3)


def ring(*kids: str) -> KeyRing:
    return KeyRing({kid: new_key() for kid in kids}, kids[0])


def test_what_was_sealed_opens_with_the_same_binding() -> None:
    keys = ring("k1")
    sealed = keys.seal(b"secret", HERE)
    assert sealed.startswith("v1:k1:")
    assert keys.open(sealed, HERE) == b"secret"


@pytest.mark.parametrize(
    "other",
    [
        Binding("exchange_accounts", "sealed_key", 8, 3),
        Binding("exchange_accounts", "sealed_key", 7, 4),
        Binding("exchange_accounts", "sealed_secret", 7, 3),
        Binding("outbox", "sealed_key", 7, 3),
    ],
)
def test_a_sealed_value_does_not_open_elsewhere(other: Binding) -> None:
    keys = ring("k1")
    with pytest.raises(DecryptionError):
        keys.open(keys.seal(b"secret", HERE), other)


def test_two_seals_of_one_value_differ() -> None:
    keys = ring("k1")
    assert keys.seal(b"secret", HERE) != keys.seal(b"secret", HERE)


def test_an_old_key_still_opens_after_rotation() -> None:
    old = ring("k1")
    sealed = old.seal(b"secret", HERE)
    rotated = KeyRing({"k2": new_key(), **old.keys}, "k2")
    assert rotated.open(sealed, HERE) == b"secret"
    assert rotated.seal(b"secret", HERE).startswith("v1:k2:")


@pytest.mark.parametrize("damaged", ["", "v1:k1", "v2:k1:AA:AA", "v1:k1:AA:AA", "v1:zz:AA:AA"])
def test_damaged_text_is_refused(damaged: str) -> None:
    with pytest.raises(DecryptionError):
        ring("k1").open(damaged, HERE)


def test_key_rings_are_read_from_text() -> None:
    keys = [base64.urlsafe_b64encode(os.urandom(32)).decode() for _ in range(2)]
    parsed = parse_key_ring(f"new:{keys[0]}, old:{keys[1]}")
    assert parsed.current == "new"
    assert set(parsed.keys) == {"new", "old"}


@pytest.mark.parametrize("text", ["", "k1", "k1:short", ":" + "A" * 44, "k1:not base64!"])
def test_a_bad_key_ring_is_refused_without_repeating_the_key(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_key_ring(text)
    assert "short" not in str(caught.value)


def test_a_key_ring_does_not_print_its_keys() -> None:
    keys = ring("k1")
    assert str(keys.keys["k1"]) not in repr(keys)
