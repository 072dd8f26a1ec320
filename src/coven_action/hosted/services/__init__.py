"""What the endpoint does: functions of a transaction and the request's document."""
