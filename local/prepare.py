"""Make a new or changed database, queue and set of static files ready: one process for four commands.

Each `manage.py` call would cost a second of start-up.
"""

import os

import django
from django.core.management import CommandError, call_command

from local import static_files


def main() -> None:
    """Bring everything up to date; safe to repeat."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    call_command("migrate", interactive=False)
    call_command("declare_queues")
    static_files.collect()
    make_admin()


def make_admin() -> None:
    """Make the admin's account from DJANGO_SUPERUSER_*, unless it is there."""
    try:
        call_command("createsuperuser", interactive=False, verbosity=0)
    except CommandError as error:
        if "already taken" not in str(error):
            raise


if __name__ == "__main__":
    main()
