"""The tables of codes. They hold no code and no address, and a phone number only by its registration."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from landing.models import Registration


class Ask(models.Model):
    """One question for a code: the line in which codes are sent, and the record of what became of each.

    n counts the questions of one submission. The submission may not be stored yet, so there is no constraint.
    """

    class State(models.TextChoices):
        """Waiting, then sending, then one of the others, which are final."""

        WAITING = "waiting", _("waiting")
        SENDING = "sending", _("sending")
        SENT = "sent", _("sent")
        UNKNOWN = "unknown", _("sent or not, nobody knows")
        REFUSED = "refused", _("refused by the gateway")
        DROPPED = "dropped", _("not sent")

    request_id = models.UUIDField()
    n = models.SmallIntegerField()
    asked_at = models.DateTimeField(_("asked at"))
    # When the visitor's page last spoke. Nobody who has left costs an SMS.
    here_at = models.DateTimeField(_("last here"))
    language = models.CharField(max_length=2)
    # The host that the SMS names, for WebOTP.
    site = models.CharField(max_length=253)
    # The address group for a day, hashed with CODE_KEY.
    from_key = models.BinaryField()
    state = models.CharField(_("state"), max_length=7, choices=State, default=State.WAITING)
    claimed_at = models.DateTimeField(null=True)
    # When it came to its end, whichever that was.
    settled_at = models.DateTimeField(_("settled at"), null=True)
    registration = models.ForeignKey(
        Registration, models.CASCADE, null=True, db_constraint=False, verbose_name=_("registration")
    )
    challenge = models.ForeignKey("Challenge", models.SET_NULL, null=True, db_constraint=False)
    gateway = models.CharField(_("gateway"), max_length=31, default="")
    message_id = models.CharField(_("gateway's id"), max_length=64, default="")
    # SMS are paid by parts. 0: none was sent.
    parts = models.SmallIntegerField(_("parts"), default=0)
    reason = models.CharField(_("reason"), max_length=100, default="")

    class Meta:
        verbose_name, verbose_name_plural = _("question for a code"), _("questions for codes")
        constraints = [models.UniqueConstraint(fields=["request_id", "n"], name="ask_of_submission")]
        indexes = [
            # Those who are here are found without a look at the many who have left.
            models.Index(fields=["here_at"], condition=models.Q(state="waiting"), name="ask_waiting"),
            models.Index(fields=["claimed_at"], condition=models.Q(state="sending"), name="ask_sending"),
            models.Index(fields=["from_key", "claimed_at"], name="ask_address"),
        ]
        permissions = [("switch_codes", gettext_noop("Can switch codes off and on"))]

    def __str__(self) -> str:
        return f"{self.request_id} {self.n}"


class Challenge(models.Model):
    """What a person has to type: a nonce, from which the code follows. A registration has one open one at most."""

    class End(models.TextChoices):
        """How it came to its end."""

        CONFIRMED = "confirmed", _("confirmed")
        LOCKED = "locked", _("too many wrong codes")
        EXPIRED = "expired", _("expired")

    registration = models.ForeignKey(Registration, models.CASCADE)
    nonce = models.BinaryField()
    opened_at = models.DateTimeField()
    # Of the last SMS that went out, and of the first one. Null: none has yet.
    sent_at = models.DateTimeField(null=True)
    first_sent_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    tries = models.SmallIntegerField(default=0)
    closed_at = models.DateTimeField(null=True)
    closed_as = models.CharField(max_length=9, choices=End, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["registration"],
                condition=models.Q(closed_at__isnull=True),
                name="challenge_open",
            )
        ]

    def __str__(self) -> str:
        return str(self.pk)


class Try(models.Model):
    """One code that was typed, without the code. arrived_at: when the web took it."""

    class Verdict(models.TextChoices):
        """What it came to."""

        CONFIRMED = "confirmed"
        WRONG = "wrong"
        LATE = "late"
        LOCKED = "locked"

    try_id = models.UUIDField(primary_key=True)
    request_id = models.UUIDField(db_index=True)
    challenge = models.ForeignKey(Challenge, models.CASCADE)
    arrived_at = models.DateTimeField()
    verdict = models.CharField(max_length=9, choices=Verdict)

    def __str__(self) -> str:
        return str(self.try_id)


class Budget(models.Model):
    """What was spent on one day: parts of SMS, the unit that is paid for."""

    day = models.DateField(primary_key=True)
    parts = models.IntegerField(default=0)
    sent = models.IntegerField(default=0)

    def __str__(self) -> str:
        return str(self.day)


class Switch(models.Model):
    """What is held back: all codes, or those of a prefix or of an address group, for a while or until switched on."""

    ALL = "codes"

    name = models.CharField(primary_key=True, max_length=31)
    is_off = models.BooleanField(default=True)
    until = models.DateTimeField(null=True)
    reason = models.CharField(max_length=200)
    by = models.CharField(max_length=150)
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name


class Lease(models.Model):
    """Which courier works. One row; the others stand by until its time is over."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    holder = models.CharField(max_length=100)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return self.holder
