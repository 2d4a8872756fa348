"""Promotion codes: what they take off, who may use them, and who has."""
