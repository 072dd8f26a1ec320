"""Totals of an invoice, in cents."""


def total(net: int, rate_percent: int) -> int:
    """Return the gross amount for a net amount, both in cents."""
    return net + net * rate_percent // 100
