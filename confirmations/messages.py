"""The text of an SMS, and how many parts of money it is."""

from math import ceil

# The last line is that of WICG's origin-bound one-time codes: "@host #code", nothing before and nothing after it.
_TEXTS = {
    "fa": "کد تأیید شما: {code}\n\n@{host} #{code}",
    "en": "Your code: {code}\n\n@{host} #{code}",
}


def text(language: str, host: str, code: str) -> str:
    """Return the SMS that carries a code."""
    return _TEXTS[language].format(host=host, code=code)


def parts(text: str) -> int:
    """Return how many parts an SMS is paid as: 160 characters in ASCII or 70 in others, fewer in each of several."""
    alone, of_several = (160, 153) if text.isascii() else (70, 67)
    return 1 if len(text) <= alone else ceil(len(text) / of_several)
