"""Sentences for the codes of the API."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

TEXTS: Mapping[str, LazyString] = {
    "https_required": _l(
        "The API is only for https. Consider the token you sent as known to others."
    ),
    "scope_missing": _l("This token has no right %(scope)s."),
    "http_400": _l("This request could not be understood."),
    "http_404": _l("There is nothing at this address."),
    "http_405": _l("This address does not know this method."),
    "http_413": _l("This is too large: at most 64 kilobytes can be sent."),
    "http_415": _l("Send JSON, with the header Content-Type: application/json."),
    "service_down": _l("Something that we need does not answer. Please try again in a moment."),
    "unexpected": _l("Something went wrong on our side. The request id helps us to find it."),
    "body_not_object": _l("Send one JSON object."),
    "duplicate_name": _l("A name stands twice in the object."),
    "number_out_of_range": _l("A number in there is too long or too large."),
    "not_plain_value": _l("Send a text, a number, true, false or null here."),
    "not_text": _l("Send a text here."),
    "not_whole_id": _l("Send the number of a row here."),
    "unknown_parameter": _l("This address has no such parameter."),
    "unknown_body_field": _l("There is no such field here."),
    "bad_cursor": _l("This is not a place in this list."),
    "idempotency_key_reused": _l("This Idempotency-Key was used with another body."),
    "bad_idempotency_key": _l("An Idempotency-Key has 1 to 100 letters, digits, dots, - or _."),
}
