"""TOTP as second factor of staff (RFC 6238), with backup codes. Which account has one, and who is through.

django-otp keeps the devices: it is made for Django's own admin and brings two tables of devices and a
middleware, where allauth.mfa wants allauth's accounts, addresses, templates and e-mail around it.
"""

import time
import unicodedata
from base64 import b32encode
from binascii import unhexlify
from typing import Any

import segno
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django_otp import match_token
from django_otp.models import Device
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice, default_key

BACKUP_CODES = 10
LONGEST_CODE = 32

_KEY = "second_factor_key"
"""Where the session keeps the key of a device that is being set up: only a proven one goes to a table."""


def is_staff(request: HttpRequest) -> bool:
    """Whether the password was right, and the account is one of staff."""
    return bool(request.user.is_active and getattr(request.user, "is_staff", False))


def is_through(request: HttpRequest) -> bool:
    """Whether the request may see what is for staff: the password was right, and the code where one is due."""
    if not is_staff(request):
        return False
    if getattr(request.user, "otp_device", None):
        return True
    return settings.ADMIN_SECOND_FACTOR == "optional" and not has_device(request.user)


def has_device(user: Any) -> bool:
    """Whether an account has a second factor."""
    return bool(TOTPDevice.objects.filter(user_id=user.pk, confirmed=True).exists())


def matching(user: Any, typed: str) -> Device | None:
    """Return the device whose code was typed, in any digits, or None. A code is good for one time."""
    code = _plain(typed)
    return match_token(user, code) if code else None


def key_for_setup(request: HttpRequest) -> str:
    """Return the key (hexadecimal) that this session is setting up."""
    return str(request.session.setdefault(_KEY, default_key()))


def unsaved(request: HttpRequest) -> TOTPDevice:
    """Return the device that this session is setting up, for its address and its key."""
    return TOTPDevice(user=request.user, key=key_for_setup(request))


def qr_code(device: TOTPDevice) -> str:
    """Return what an authenticator app scans, as SVG."""
    return str(segno.make(device.config_url).svg_inline(scale=5, light="#fff"))


def readable_key(device: TOTPDevice) -> str:
    """Return a device's key as authenticator apps take it by hand: base32 in groups of four."""
    key = b32encode(device.bin_key).decode()
    return " ".join(key[n : n + 4] for n in range(0, len(key), 4))


def backup_codes_left(user: Any) -> int:
    """Return how many backup codes an account has not used yet."""
    return int(StaticToken.objects.filter(device__user_id=user.pk).count())


def prove(request: HttpRequest, typed: str) -> TOTPDevice | None:
    """Keep the device that this session is setting up, once its code is right. It replaces an older one."""
    code = _plain(typed)
    key = key_for_setup(request)
    totp = TOTP(unhexlify(key))
    totp.time = time.time()
    if not (code.isdecimal() and totp.verify(int(code), tolerance=1)):
        return None
    with transaction.atomic():
        TOTPDevice.objects.filter(user_id=request.user.pk).delete()
        device = TOTPDevice.objects.create(user=request.user, name="authenticator", key=key, last_t=totp.t())
    del request.session[_KEY]
    return device


@transaction.atomic
def new_backup_codes(user: Any) -> list[str]:
    """Make new backup codes, each good for one time; the old ones end."""
    device, _ = StaticDevice.objects.get_or_create(user_id=user.pk, name="backup")
    device.token_set.all().delete()
    codes = [StaticToken.random_token() for _ in range(BACKUP_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return codes


@transaction.atomic
def remove(account_id: Any) -> bool:
    """Take an account's second factor and backup codes away. Returns whether it had any."""
    # Token by token and without reading a key: the toolbox may not.
    StaticToken.objects.filter(device__user_id=account_id).delete()
    StaticDevice.objects.filter(user_id=account_id).delete()
    removed, _ = TOTPDevice.objects.filter(user_id=account_id).delete()
    return bool(removed)


def _plain(typed: str) -> str:
    """Return a code as it is kept: Persian digits as ASCII, no blanks and hyphens, small letters."""
    kept = (one for one in typed[:LONGEST_CODE] if one.isalnum())
    return "".join(str(unicodedata.decimal(one, one)) for one in kept).lower()
