"""A phone number: given, confirmed by a code, kept encrypted."""
