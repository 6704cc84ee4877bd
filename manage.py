#!/usr/bin/env python
"""Django's command line: `./manage.py help` lists what there is."""

import sys

from django.core.management import execute_from_command_line

import config  # noqa: F401  names the settings

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
