"""How Breakwater is wired. Nobody imports it but the servers that start it."""

import os

# Every process that starts here, web, worker, Flower or command, has the same settings.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
