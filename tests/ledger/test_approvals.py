"""What a person is asked and has approved, as the record keeps it."""

from __future__ import annotations

from airflow_provider_nanostt.ledger.approvals import SpendingRequest


def test_a_request_to_spend_is_read_back_from_what_it_is_written_as():
    """Also without a file between the two."""
    request = SpendingRequest.of(1.5, 1.0, ["b", "a"], unlimited=1)
    assert SpendingRequest.from_json(request.to_json()) == request
