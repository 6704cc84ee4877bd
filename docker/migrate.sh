#!/bin/sh
# Makes the settings' check, the tables, the roles' rights and the queues fit this version. Safe to repeat.
set -eu

python manage.py check --fail-level WARNING
# An index on many rows takes longer than any statement of ours otherwise may.
POSTGRES_STATEMENT_TIMEOUT=0 python manage.py migrate --no-input
python manage.py shell --no-imports --command '
from django.db import connection, transaction
with transaction.atomic(), connection.cursor() as cursor:
    cursor.execute(open("docker/postgres/grants.sql").read())
'
echo "Rights stand: docker/postgres/grants.sql"
python manage.py declare_queues
