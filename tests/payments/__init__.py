"""Tests of invoices, payments and rails."""
