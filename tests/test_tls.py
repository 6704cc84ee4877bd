"""With the path of an authority's certificate, a connection is encrypted and the server's name checked."""

import json
import os
import subprocess
import sys

import pytest

SHOW = """
import json, django
import config
django.setup()
from django.conf import settings
from config.celery import app
options = settings.DATABASES["default"]["OPTIONS"]
print(json.dumps([settings.RABBITMQ_URL, str(app.conf.broker_use_ssl), settings.REDIS_URL, options.get("sslmode")]))
"""


def connections(**paths):
    shown = subprocess.run(
        [sys.executable, "-c", SHOW], env=os.environ | paths, capture_output=True, text=True, check=True
    )
    return json.loads(shown.stdout)


def test_no_path_is_no_encryption():
    rabbitmq, broker, redis, postgresql = connections()
    assert rabbitmq.startswith("amqp://")
    assert redis.startswith("redis://")
    assert (broker, postgresql) == ("None", None)


@pytest.mark.parametrize("path", ["/run/secrets/ca.pem"])
def test_a_path_makes_every_client_check_the_server(path):
    names = ("RABBITMQ", "REDIS", "POSTGRES", "MONGODB")
    rabbitmq, broker, redis, postgresql = connections(**{f"{name}_CA_PATH": path for name in names})
    assert rabbitmq.startswith("amqps://")
    assert path in broker
    assert "CERT_REQUIRED" in broker
    assert redis.startswith("rediss://")
    assert "ssl_cert_reqs=required" in redis
    assert postgresql == "verify-full"
