"""Sentences for the codes of this subject: why a mail did not leave."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

TEXTS: Mapping[str, LazyString] = {
    "no_mail_server": _l("No mail server is set: give its address in SMTP_URL."),
    "mail_recipient_refused": _l("The mail server does not take mail for this address."),
    "mail_login_refused": _l("The mail server refuses our log-in: check SMTP_URL."),
    "mail_refused": _l("The mail server refused the message."),
    "mail_no_encryption": _l("The mail server offers no trusted encryption."),
    "mail_not_writable": _l("The message or the address of the mail server can't be written."),
    "no_sms_gateway": _l("No gateway for text messages is set: give its address in SMS_URL."),
    "sms_unreachable": _l("The gateway for text messages does not answer."),
    "sms_refused": _l("The gateway refused the text message: check SMS_URL and SMS_TOKEN."),
    "sms_too_late": _l("The code in this text message had expired before it could leave."),
    "mail_server_unreachable": _l("The mail server does not answer."),
}
