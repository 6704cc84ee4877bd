#!/usr/bin/env python
"""Django's command line: `./manage.py help` lists what there is."""

import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

import config  # noqa: F401  names the settings

if __name__ == "__main__":
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))
