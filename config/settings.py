"""Every setting of Breakwater, read from the environment once (see config/env.py)."""

import tomllib
from pathlib import Path
from urllib.parse import quote, urlencode

import django_stubs_ext

from config import env

django_stubs_ext.monkeypatch()  # ModelAdmin[...] and their like can be written, as the types want

BASE_DIR = Path(__file__).resolve().parent.parent

IS_LOCAL_STACK = env.load_state()

VERSION = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["version"]

env.section("The web server")
SECRET_KEY = env.required(
    "SECRET_KEY",
    "Seals request ids and signs sessions. 50 or more random characters, the same in every process.",
    'Set it, or SECRET_KEY_FILE: python3 -c "import secrets; print(secrets.token_urlsafe(50))"',
)
DEBUG = env.flag("DEBUG", "off", "Django's debug pages. Never on a machine that others can reach.")
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]", "Host names that requests may carry.")
CORS_ALLOWED_ORIGINS = env.names(
    "CORS_ALLOWED_ORIGINS",
    "",
    "Origins (https://example.com) whose pages may call the API from a browser. Empty: none but our own.",
)
CORS_ALLOW_HEADERS = env.headers(
    "CORS_ALLOW_HEADERS",
    "",
    "Headers that scripts on those pages add to each call, beside those of the known tracing agents: x-datadog-trace-id.",
)
TRUSTED_PROXIES = env.addresses(
    "TRUSTED_PROXIES",
    "",
    "Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses or CIDR ranges. Empty: none.",
)
HTTPS = env.flag(
    "HTTPS",
    "on",
    "Visitors come by https: cookies are sent by it alone, and browsers are told to stay with it.",
)
HSTS = env.hsts(
    "HSTS",
    "max-age=86400",
    "How long browsers stay with https: the header Strict-Transport-Security, or off. Default: this host, a day.",
)
RATE_LIMIT = env.rate(
    "RATE_LIMIT", "10/minute", "The most registrations from one IPv4 address or IPv6 /64, or off."
)
METRICS_NETWORKS = env.addresses(
    "METRICS_NETWORKS",
    "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7",
    "Who may ask /metrics: addresses or CIDR ranges of the connection itself, with no proxy in between.",
)
ADMIN_SECOND_FACTOR = env.choice(
    "ADMIN_SECOND_FACTOR",
    "optional",
    "Whether each account of staff must have a second factor (TOTP) for /admin/ and /ops/, or may have one.",
    ("optional", "required"),
)
LANGUAGE_CODE = env.choice(
    "DEFAULT_LANGUAGE", "fa", "The language of pages and errors when the visitor asks for none.", ("fa", "en")
)
LANDING_DIR = env.text(
    "LANDING_DIR",
    "",
    "A directory whose page.toml changes the landing page (docs/landing-page.md). Empty: the page as it comes.",
)
PORT = env.integer("PORT", "8000", "The port that the web server listens on.")
env.text("BIND", "127.0.0.1", "The address that the web server listens on.")
env.text(
    "WEB_CONCURRENCY",
    "",
    "Web server processes. Empty: one for each CPU core, as far as the container's CPU and memory limits allow.",
)
WEB_THREADS = env.integer(
    "WEB_THREADS",
    "10",
    "Threads in each web process for Django: so many for forms and errors, and so many for the admin.",
)

env.section("PostgreSQL: the truth")
_POSTGRES_PORT = env.integer("POSTGRES_PORT", "5432", "The port of each host that is given without one.")
POSTGRES_HOSTS = env.hosts(
    "POSTGRES_HOST",
    "localhost",
    "Host name. Of several, such as `a,b:5433`, the one that takes writes is used.",
    _POSTGRES_PORT,
)
POSTGRES_POOLER = env.flag(
    "POSTGRES_POOLER",
    "off",
    "Whether a pooler that gives a connection to each transaction, such as PgBouncer, stands in between.",
)
POSTGRES_DB = env.text("POSTGRES_DB", "breakwater", "Database.")
POSTGRES_USER = env.text("POSTGRES_USER", "breakwater", "User.")
POSTGRES_PASSWORD = env.text("POSTGRES_PASSWORD", "", "Password.")
POSTGRES_CA_PATH = env.text(
    "POSTGRES_CA_PATH",
    "",
    "The file of the authority behind the server's certificate. Set: encrypted, and the name is checked.",
)
POSTGRES_STATEMENT_TIMEOUT = env.integer(
    "POSTGRES_STATEMENT_TIMEOUT",
    "10",
    "Seconds after which a statement is stuck. 0: never, for long migrations.",
)

env.section("RabbitMQ: the queue")
_RABBITMQ_PORT = env.integer("RABBITMQ_PORT", "5672", "The port of each host that is given without one.")
RABBITMQ_HOSTS = env.hosts(
    "RABBITMQ_HOST",
    "localhost",
    "Host name, or those of a cluster's nodes: `n1,n2:5673,n3`. What one does not confirm goes to the next.",
    _RABBITMQ_PORT,
)
RABBITMQ_USER = env.text("RABBITMQ_USER", "breakwater", "User.")
RABBITMQ_PASSWORD = env.text("RABBITMQ_PASSWORD", "", "Password.")
RABBITMQ_CA_PATH = env.text(
    "RABBITMQ_CA_PATH",
    "",
    "The file of the authority behind the server's certificate. Set: encrypted, and the name is checked.",
)
RABBITMQ_VHOST = env.text("RABBITMQ_VHOST", "/", "Virtual host.")
RABBITMQ_MANAGEMENT_URLS = env.names(
    "RABBITMQ_MANAGEMENT_URL",
    "http://localhost:15672",
    "The management API, from which Flower reads queue lengths. Of several, with commas, the first that answers.",
)
PUBLISH_TIMEOUT = env.seconds(
    "PUBLISH_TIMEOUT",
    "0.7",
    "The longest wait, in seconds, for RabbitMQ's nodes to connect and confirm before registrations go to the spool. "
    "A cluster needs about half a second for a new leader.",
)
QUEUES = env.integer(
    "QUEUES",
    "1",
    "Live queues that registrations are spread over: each has a leader, and one leader is one CPU core of RabbitMQ. "
    "Then `manage.py declare_queues`. docs/scaling.md tells when.",
    least=1,
)
KEEP_DAYS = env.integer(
    "KEEP_DAYS",
    "0",
    "Days for which RabbitMQ keeps a copy of each message, for `manage.py replay`. 0: no copy. "
    "Then `manage.py declare_queues`.",
)
GROUP_SIZE = env.integer("GROUP_SIZE", "500", "The most registrations in one message.")
WAITING_LIMIT = env.integer(
    "WAITING_LIMIT",
    "5000",
    "The most registrations that may wait for a message in one web process; more get a 503.",
)

env.section("The spool: a second home when RabbitMQ cannot confirm")
SPOOL_MODE = env.choice(
    "SPOOL_MODE",
    "here",
    "Where a registration goes that RabbitMQ does not confirm: `here`, to one disk of this host, or `off`: "
    "nowhere, and the visitor is asked to come back (503).",
    ("here", "off"),
)
SPOOL_DIR = env.text(
    "SPOOL_DIR", "spool", "A directory on a disk that outlives the machine's restart. Processes may share it."
)
SPOOL_QUOTA = env.integer(
    "SPOOL_QUOTA",
    "268435456",
    "The most bytes that wait in one process's file: about a million registrations.",
)
SPOOL_TIMEOUT = env.seconds("SPOOL_TIMEOUT", "0.5", "The longest wait, in seconds, for the disk.")
SPOOL_SHARE = env.share(
    "SPOOL_SHARE",
    "0.01",
    "The share of messages that are written to the spool and deleted again on good days, so that it is never cold.",
)
SPOOL_DRAIN_RATE = env.integer(
    "SPOOL_DRAIN_RATE",
    "5000",
    "The most registrations a second that one process brings from spools to RabbitMQ.",
)

env.section("Redis: limits and task states")
REDIS_HOST = env.text("REDIS_HOST", "localhost", "Host name.")
REDIS_PORT = env.integer("REDIS_PORT", "6379", "Port.")
REDIS_USER = env.text("REDIS_USER", "", "User. Empty: Redis's own, `default`.")
REDIS_PASSWORD = env.text("REDIS_PASSWORD", "", "Password.")
REDIS_CA_PATH = env.text(
    "REDIS_CA_PATH",
    "",
    "The file of the authority behind the server's certificate. Set: encrypted, and the name is checked.",
)
REDIS_DB = env.integer("REDIS_DB", "0", "Database number.")
REDIS_SENTINELS = env.hosts(
    "REDIS_SENTINELS",
    "",
    "Sentinels, such as `s1,s2,s3:26380`: they tell which Redis is the primary now, in place of REDIS_HOST.",
    26379,
)
REDIS_MASTER = env.text("REDIS_MASTER", "mymaster", "The name by which Sentinels know the primary.")
REDIS_SENTINEL_PASSWORD = env.text("REDIS_SENTINEL_PASSWORD", "", "Password of the Sentinels, if they ask.")
REDIS_TIMEOUT = env.seconds(
    "REDIS_TIMEOUT", "0.1", "The longest wait, in seconds, before limits go on without Redis."
)
_REDIS_LIMIT_HOSTS = env.hosts(
    "REDIS_LIMIT_HOSTS",
    "",
    "Several Redis for rate limits alone, such as `r1,r2:6380`, when one thread of Redis is the limit: each sender's "
    "limit is kept by one of them. Login, TLS and database number are those above.",
    6379,
)
STATE_TTL = env.integer(
    "STATE_TTL",
    "86400",
    "How long Redis keeps the state of a task, in seconds. PostgreSQL knows it after that.",
)

env.section("The request log: MongoDB, unless LOGS_STORE says otherwise")
LOGS_STORE = env.text(
    "LOGS_STORE",
    "logs.stores.MongoStore",
    "The class that keeps request metadata, as a dotted path: also logs.postgresql.PostgresStore, "
    "logs.elastic.ElasticStore and logs.lines.LineStore (docs/log-stores.md).",
)
MONGODB_URL = env.text(
    "MONGODB_URL",
    "",
    "All of a replica set's members, such as `mongodb://m1,m2,m3/?replicaSet=rs0`, in place of MONGODB_HOST. "
    "The login stays in MONGODB_USER and MONGODB_PASSWORD.",
)
MONGODB_HOST = env.text("MONGODB_HOST", "localhost", "Host name.")
MONGODB_PORT = env.integer("MONGODB_PORT", "27017", "Port.")
MONGODB_DB = env.text("MONGODB_DB", "breakwater", "Database.")
MONGODB_USER = env.text("MONGODB_USER", "", "User. Empty: no login.")
MONGODB_PASSWORD = env.text("MONGODB_PASSWORD", "", "Password.")
MONGODB_CA_PATH = env.text(
    "MONGODB_CA_PATH",
    "",
    "The file of the authority behind the server's certificate. Set: encrypted, and the name is checked.",
)
MONGODB_TIMEOUT = env.seconds(
    "MONGODB_TIMEOUT",
    "3",
    "The longest wait, in seconds, before a batch's documents are parked in PostgreSQL.",
)

ELASTIC_URL = env.text(
    "ELASTIC_URL",
    "",
    "The address of Elasticsearch or OpenSearch, a login in it if need be, for ElasticStore.",
)
ELASTIC_INDEX = env.text("ELASTIC_INDEX", "breakwater-requests", "The index. It is made where it is missing.")
ELASTIC_API_KEY = env.text("ELASTIC_API_KEY", "", "An API key, in place of a login.")
ELASTIC_CA_PATH = env.text(
    "ELASTIC_CA_PATH",
    "",
    "The file of the authority behind the server's certificate. Empty: those of the system.",
)

env.section("Celery workers")
WORKER_POOL = env.choice(
    "WORKER_POOL",
    "prefork",
    "Celery's pool: processes, or greenlets for slow databases.",
    ("prefork", "gevent"),
)
WORKER_CONCURRENCY = env.integer("WORKER_CONCURRENCY", "2", "Processes or greenlets in one worker.")
WORKER_DEAF_AFTER = env.seconds(
    "WORKER_DEAF_AFTER",
    "30",
    "A worker that has no message in hand for this many seconds while some are ready ends, to be restarted.",
)

WORKER_QUEUES = env.names(
    "WORKER_QUEUES",
    "",
    "The queues that this worker reads, such as `confirmations` to keep typed codes apart from a backlog of "
    "registrations. Empty: all.",
)

env.section("Codes by SMS: proving a phone number (docs/confirmation.md)")
CODE_GATEWAY = env.names(
    "CODE_GATEWAY",
    "off",
    "What sends codes: off, file, console, kavenegar, smsir, ghasedak, twilio or the path of a TOML file. "
    "With commas: in this order, when one sends nothing.",
)
SENDS_CODES = CODE_GATEWAY not in ([], ["off"])
CODE_GATEWAY_URL = env.text(
    "CODE_GATEWAY_URL",
    "",
    "The address of the gateway, in place of its usual one. http only to this machine and to COURIER_ALLOW.",
)
CODE_GATEWAY_KEY = env.text(
    "CODE_GATEWAY_KEY", "", "The key that the gateway gave you. The courier alone needs it."
)
CODE_TEMPLATE = env.text(
    "CODE_TEMPLATE",
    "",
    "The name of your approved pattern, of one for each language: fa=verify,en=verify-en.",
)
CODE_KEY = env.text(
    "CODE_KEY",
    "",
    "What codes are made from: 32 or more random characters, the same in workers and couriers, and nowhere else.",
)
HAS_CODE_KEY = len(CODE_KEY) >= 32
CODE_BUDGET = env.integer(
    "CODE_BUDGET",
    "0",
    "The most parts of SMS that are paid for in a day. 0: not set, which only file and console take.",
)
CODE_TTL = env.integer(
    "CODE_TTL", "600", "Seconds for which a code can be typed after it was sent.", least=60
)
CODE_RATE = env.seconds("CODE_RATE", "10", "The most SMS that are sent in a second.")
COURIER_ALLOW = env.addresses(
    "COURIER_ALLOW",
    "",
    "Addresses of our own network that the courier may call, by http too: addresses or CIDR ranges. Empty: none.",
)

env.section("Flower")
FLOWER_USER = env.text("FLOWER_USER", "", "Login of the monitoring page. Flower refuses to start without it.")
FLOWER_PASSWORD = env.text(
    "FLOWER_PASSWORD", "", "Password of the monitoring page. Flower refuses to start without it."
)
FLOWER_PORT = env.integer("FLOWER_PORT", "5555", "The port that Flower listens on.")
FLOWER_ADDRESS = env.text("FLOWER_ADDRESS", "127.0.0.1", "The address that Flower listens on.")
FLOWER_URL = env.text("FLOWER_URL", "http://localhost:5555/", "Where `manage.py doctor` finds Flower.")

env.section("The admin and exports: times as people read them")
DISPLAY_TIME_ZONE = env.zone(
    "DISPLAY_TIME_ZONE", "Asia/Tehran", "The time zone of the admin and of exports. Data are kept in UTC."
)
CALENDAR = env.choice(
    "CALENDAR",
    "jalali",
    "The calendar of the Persian admin and of exports to CSV and XLSX. The English admin is Gregorian.",
    ("jalali", "gregorian"),
)

env.section("Logs")
COMMIT = env.text("COMMIT", "", "The commit that runs, for /version. The images carry theirs.")
LOG_LEVEL = env.choice(
    "LOG_LEVEL", "INFO", "The least grave event that is logged.", ("DEBUG", "INFO", "WARNING", "ERROR")
)

env.section("Traces")
OTEL_EXPORTER_OTLP_ENDPOINT = env.text(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "",
    "Where OpenTelemetry traces go, such as http://localhost:4318. Empty: no traces, at no cost.",
)
OTEL_TRACES_SAMPLER_ARG = env.share(
    "OTEL_TRACES_SAMPLER_ARG", "1", "The share of registrations that are traced, 0 to 1."
)

env.raise_faults()
FINGERPRINT = env.fingerprint(SECRET_KEY)

INSTALLED_APPS = [
    "campaigns",
    "landing",  # before the admin, whose frame it changes
    "confirmations",
    "courier",
    "dashboard.apps.StaffAdminConfig",  # django.contrib.admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "config",
    "logs",
    "dashboard",
]
MIDDLEWARE = [
    "config.middleware.RequestMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "config.middleware.SlashMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "dashboard.desk.login.RefusalMiddleware",
]
ROOT_URLCONF = "config.urls"
APPEND_SLASH = True  # for pages; landing/urls.py takes the API out
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": ",".join(host.name for host in POSTGRES_HOSTS),
        "PORT": ",".join(str(host.port) for host in POSTGRES_HOSTS),
        "NAME": POSTGRES_DB,
        "USER": POSTGRES_USER,
        "PASSWORD": POSTGRES_PASSWORD,
        # A greenlet's connection is never found again by the next one: gevent gives it back at once.
        "CONN_MAX_AGE": 0 if WORKER_POOL == "gevent" else None,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": POSTGRES_POOLER,
        "OPTIONS": {
            "connect_timeout": 3,
            # A server that is cut off, not ended, sends no word: give it up after as long.
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            # A standby takes logins too. A primary that was demoted refuses the write, and its connection is closed.
            **({"target_session_attrs": "read-write"} if len(POSTGRES_HOSTS) > 1 else {}),
            # No statement of ours takes long; one that does is stuck, and its batch is tried again.
            # A pooler refuses options: docker/postgres/roles.sh gives the roles these limits instead.
            **(
                {}
                if POSTGRES_POOLER
                else {"options": f"-c statement_timeout={POSTGRES_STATEMENT_TIMEOUT}s -c lock_timeout=3s"}
            ),
            **({"sslmode": "verify-full", "sslrootcert": POSTGRES_CA_PATH} if POSTGRES_CA_PATH else {}),
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
RABBITMQ_URLS = [
    f"{'amqps' if RABBITMQ_CA_PATH else 'amqp'}://{quote(RABBITMQ_USER, safe='')}:{quote(RABBITMQ_PASSWORD, safe='')}"
    f"@{host}/{quote(RABBITMQ_VHOST, safe='')}"
    for host in RABBITMQ_HOSTS
]
_REDIS_TLS = urlencode({"ssl_cert_reqs": "required", "ssl_ca_certs": REDIS_CA_PATH})
_REDIS_LOGIN = f"{quote(REDIS_USER, safe='')}:{quote(REDIS_PASSWORD, safe='')}"
REDIS_URL, *REDIS_LIMIT_URLS = (
    f"{'rediss' if REDIS_CA_PATH else 'redis'}://{_REDIS_LOGIN}"
    f"@{address}/{REDIS_DB}{f'?{_REDIS_TLS}' if REDIS_CA_PATH else ''}"
    for address in (f"{REDIS_HOST}:{REDIS_PORT}", *_REDIS_LIMIT_HOSTS)
)

LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGES = [("fa", "فارسی"), ("en", "English")]
LANGUAGE_COOKIE_PATH = "/admin/"  # the pages of visitors have their language in their address
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SECURE = HTTPS
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_MANIFEST_STRICT = False

MAX_BODY = 16 * 1024
"""Bytes. A registration is a few hundred; the admin's forms fit too."""
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
AUTHENTICATION_BACKENDS = ["dashboard.desk.login.CountedBackend"]
OTP_TOTP_ISSUER = "Breakwater"
# dashboard/desk/login_limits.py limits codes: django-otp's own way would lock out the right person too.
OTP_TOTP_THROTTLE_FACTOR = OTP_STATIC_THROTTLE_FACTOR = 0
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator")
]

CORS_ALLOW_HEADERS = [
    *("accept", "accept-language", "content-type", "idempotency-key"),
    # Tracing agents on the host's page add these to every fetch (W3C Trace Context and Baggage, Sentry), older
    # libraries the last. The API reads none of them, and a header that is not allowed stops the whole call.
    *("traceparent", "tracestate", "baggage", "sentry-trace", "x-requested-with"),
    *CORS_ALLOW_HEADERS,
]
CORS_ALLOW_METHODS = ["GET", "OPTIONS", "POST"]
CORS_EXPOSE_HEADERS = ["Location", "Retry-After", "X-Request-ID"]
CORS_URLS_REGEX = r"^/api/.*$"

REST_FRAMEWORK = {
    # Nobody logs in to register, so no request may wait for a session or a user.
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "landing.door.problems.answer_exception",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Breakwater",
    "VERSION": VERSION,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "landing.door.openapi.complete",
    ],
    "ENUM_NAME_OVERRIDES": {
        "ConfirmationStatusEnum": "landing.door.serializers.CONFIRMATION",
        "CheckingStatusEnum": ["checking"],
        "StatusStatusEnum": ["Processing", "Registered", "Failed"],
    },
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "lib.json_log.JsonFormatter"}},
    "handlers": {
        "stdout": {
            "class": "lib.log_thread.ThreadedHandler",
            "stream": "ext://sys.stdout",
            "formatter": "json",
        }
    },
    "root": {"handlers": ["stdout"], "level": LOG_LEVEL},
    "loggers": {
        # The worker's processes; it passes nothing on to the root.
        "multiprocessing": {"handlers": ["stdout"], "propagate": False},
        # Our own middleware logs each request, with its id.
        "django.server": {"propagate": False},
        "django.request": {"level": "ERROR"},
        "aiormq": {"level": "CRITICAL"},
        "pymongo": {"level": "WARNING"},
    },
}
