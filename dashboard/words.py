"""Every word of the operators' pages, in the language of now."""

from collections.abc import Mapping
from functools import cache

from django.utils.translation import get_language_info, override, pgettext_lazy
from django.utils.translation import gettext_lazy as _

_WORDS = {
    "page": {
        "title": _("Breakwater | Operations"),
        "brand": _("Breakwater"),
        "name": pgettext_lazy("short", "Operations"),
        "trace": _("Trace"),
        "live": _("Live"),
        "admin": _("Admin"),
        "no_script": _("This page needs JavaScript."),
        "hour": _("The last hour"),
        "servers": _("What it leans on"),
        "refusals": _("Refused in the last hour"),
        "processes": _("Processes"),
        "campaigns": _("Campaigns"),
        "codes": _("Codes by SMS"),
    },
    "words": {
        "connecting": _("Connecting…"),
        "well": _("All is well"),
        "degraded": _("Degraded"),
        "lost": _("No answer from the web"),
        "login": _("Log in again"),
        "unknown": _("not known"),
        "unknown_counts": _(
            "Counts and charts are not known while Redis is away. They are kept and come back."
        ),
        "nothing_refused": _("Nobody was refused."),
        "last_minute": _("last minute"),
        "in_hour": _("{count} in the last hour"),
        "per_second": _("a second"),
        "at_most": _("at most"),
        "median": _("half within {time}"),
        "ok": _("ok"),
        "no_answer_in_time": _("no answer in time"),
        "does_not_confirm": _("does not confirm"),
        "does_not_answer": _("does not answer"),
        "batches": _("batches wait"),
        "consumers": _("connected"),
        "rows": _("registrations wait"),
        "to_decide": _("to decide on"),
        "parked": _("documents parked"),
        "running": _("running"),
        "silent": _("silent for {time}"),
        "holds": _("holds a batch, {time} old"),
        "alive": _("alive"),
        "without": _("Without it:"),
    },
    "units": {
        "ms": _("ms"),
        "s": _("s"),
        "min": _("min"),
        "h": _("h"),
        "day": _("d"),
    },
    "figures": {
        "accepted": _("Accepted"),
        "stored": _("Stored"),
        "oldest": _("Oldest waiting"),
        "latency": _("99 of 100 answered within"),
        "refused": _("Refused"),
    },
    "codes": {
        "sending": _("Sending"),
        "courier": _("Courier:"),
        "line": _("In line"),
        "here": _("{count} here now"),
        "rate": _("Pace"),
        "today": _("Sent today"),
        "parts": _("parts of SMS"),
        "of_budget": _("{share} of the budget of {budget}"),
        "no_budget": _("no budget is set"),
        "typed": _("Typed of those sent"),
        "sent": _("{count} sent in the last hour"),
    },
    "codes_state": {
        "on": _("on"),
        "off": _("off"),
        "budget": _("budget spent"),
        "gateway": _("gateway down"),
        "no_courier": _("no courier works"),
        "unknown": _("not known"),
    },
    "codes_why": {
        "off": _("Somebody has switched codes off. People keep their place in the line."),
        "budget": _("All parts of today are used. It goes on tomorrow, or with a larger CODE_BUDGET."),
        "gateway": _("The gateway takes no SMS. One is tried every 5 seconds; people wait."),
        "no_courier": _("Nobody gets a code. Start manage.py courier."),
        "unknown": _("No courier has told of the line in the last 10 seconds."),
    },
    "campaign_figures": {
        "campaign": _("campaign"),
        "accepted": _("accepted"),
        "stored": _("stored"),
        "capacity": _("capacity"),
        "numbered": _("numbered"),
        "placed": _("placed"),
        "waiting": _("waiting"),
    },
    "charts": {
        "flow": _("Registrations a second"),
        "latency": _("Answer time"),
        "waiting": _("Waiting"),
        "refused": _("Refused a second"),
        "accepted": _("accepted"),
        "stored": _("stored"),
        "p50": _("p50"),
        "p99": _("p99"),
        "queue": _("queue (batches)"),
        "spool_rows": _("spool (registrations)"),
        "all_refused": _("refused"),
    },
    "servers": {
        "web": _("Web"),
        "rabbitmq": _("RabbitMQ"),
        "workers": _("Workers"),
        "postgresql": _("PostgreSQL"),
        "redis": _("Redis"),
        "spool": _("Spool"),
        "dead": _("Dead letters"),
        "mongodb": _("MongoDB"),
        "orphans": _("Messages without a worker"),
        "standby": _("Standby of PostgreSQL"),
    },
    "without": {
        "rabbitmq": _(
            "Registrations are kept in the spool, are still answered 202, and go to RabbitMQ when it is back."
        ),
        "workers": _("Registrations are accepted and wait in the queue."),
        "postgresql": _("Registrations are accepted and wait; workers hold their batches and try again."),
        "redis": _("Each web process limits by itself, and states come from PostgreSQL."),
        "spool": _("Nothing changes while RabbitMQ confirms. Without both, visitors are asked to try again."),
        "orphans": _(
            "RabbitMQ has delivered messages that no worker has. Workers restart by themselves to free them."
        ),
        "standby": _("Rows are written and wait until a synchronous standby has them too."),
        "mongodb": _(
            "Registrations are stored; their request logs wait in PostgreSQL and are delivered later."
        ),
    },
    "reasons": {
        "invalid_phone": pgettext_lazy("short", "Invalid phone number"),
        "malformed_json": pgettext_lazy("short", "Malformed JSON"),
        "invalid_body": pgettext_lazy("short", "Invalid body"),
        "invalid_idempotency_key": pgettext_lazy("short", "Invalid Idempotency-Key"),
        "bad_request": pgettext_lazy("short", "Bad request"),
        "invalid_fields": _("Invalid fields"),
        "consent_required": _("Consent required"),
        "not_open_yet": _("Not open yet"),
        "campaign_closed": _("Closed"),
        "campaign_full": _("Full"),
        "too_slow": _("Body came too slowly"),
        "too_large": pgettext_lazy("short", "Body too large"),
        "unsupported_media_type": _("Unsupported media type"),
        "rate_limited": _("Rate limit"),
        "internal": _("Internal error"),
        "unavailable": _("Neither broker nor spool"),
    },
    "trace": {
        "title": _("Breakwater | Trace"),
        "heading": _("What became of a registration?"),
        "label": _("A request_id or a phone number"),
        "hint": _("The request_id of a 202 answer, or a phone number in any spelling"),
        "button": _("Trace"),
        "neither": _("That is neither a request_id nor a phone number."),
        "unknown": _("Nothing is known of this request_id."),
        "unknown_phone": _(
            "No registration with this number is stored. One that still waits can be traced by its request_id."
        ),
        "submissions": _("Submissions of {phone}"),
        "newest": _("The newest {count}; there may be more."),
        "accepted_at": _("accepted"),
        "stored_at": _("stored"),
        "silent": _("{store} could not be asked; this is what the others know."),
        "after": _("after {time}"),
        "time": _("UTC"),
    },
    "hops": {
        "accepted": _("Accepted"),
        "queued": _("Sent to RabbitMQ"),
        "stored": _("Stored"),
        "logged": _("Logged"),
        "parked": _("Log parked in PostgreSQL"),
        "dead": _("Dead letter"),
        "state": _("State"),
    },
}


@cache
def of(language: str) -> Mapping[str, Mapping[str, str] | str]:
    """Return the words of "fa" or "en", by the part of the page that shows them."""
    other = get_language_info("en" if language == "fa" else "fa")
    with override(language):
        words = {part: {name: str(text) for name, text in texts.items()} for part, texts in _WORDS.items()}
    return {"direction": "rtl" if language == "fa" else "ltr", "other": other["name_local"], **words}
