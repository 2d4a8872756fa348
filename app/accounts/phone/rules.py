"""Which numbers can get a code; pure."""

from typing import Any

from app.errors import InvalidInput
from app.names import is_visible

LONGEST = 40


def checked(text: str) -> str:
    """Return a number as it is stored (E.164); raise InvalidInput when there can be none such."""
    # Imported here: most processes never see a number, and the library takes its time.
    import phonenumbers

    number = _parsed(text)
    if not phonenumbers.is_valid_number(number):
        raise InvalidInput("bad_phone", field="phone")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def checked_for_texts(text: str) -> str:
    """Return a number that text messages reach; raise InvalidInput for any other.

    Refused are fixed lines, and numbers that cost the sender more than usual.
    """
    from phonenumbers import PhoneNumberType, number_type

    number = checked(text)
    if number_type(_parsed(number)) not in {
        PhoneNumberType.MOBILE,
        PhoneNumberType.FIXED_LINE_OR_MOBILE,
        PhoneNumberType.PERSONAL_NUMBER,
        PhoneNumberType.VOIP,
    }:
        raise InvalidInput("phone_takes_no_texts", field="phone")
    return number


def _parsed(text: str) -> Any:
    from phonenumbers import NumberParseException, parse

    # With + only: a number of a country that we would have to guess is none.
    text = text.strip()
    if not text.startswith("+") or len(text) > LONGEST or not is_visible(text):
        raise InvalidInput("bad_phone", field="phone")
    try:
        return parse(text, None)
    except NumberParseException:
        raise InvalidInput("bad_phone", field="phone") from None
