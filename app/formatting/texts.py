"""Sentences for what may be wrong with a typed number."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

TEXTS: Mapping[str, LazyString] = {
    "not_a_number": _l("This is not a number. Write it like %(example)s."),
    "ambiguous_number": _l("Do you mean %(first)s or %(second)s? Write it so that it is clear."),
    "too_many_digits": _l("This number has too many digits: at most %(maximum)s."),
}
