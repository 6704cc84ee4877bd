"""Django and DRF that write to PostgreSQL within the request: no queue at all."""
