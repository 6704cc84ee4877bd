"""The admin's words in Persian. Django brings its own; these are ours.

A table and no gettext catalogue: nothing to compile, and a word that is missing is shown in English.
"""

from typing import Any

from django.utils.functional import lazystr
from django.utils.translation import get_language

from lib.calendars import in_persian_digits

FA = {
    "Breakwater": "موج‌شکن",
    "Administration of registrations": "مدیریت ثبت‌نام‌ها",
    "Operations": "عملیات",
    # Tables and columns
    "Registrations": "ثبت‌نام‌ها",
    "registration": "ثبت‌نام",
    "registrations": "ثبت‌نام‌ها",
    "submission": "درخواست",
    "submissions": "درخواست‌ها",
    "parked log": "گزارش منتظر",
    "parked logs": "گزارش‌های منتظر MongoDB",
    "phone number": "شمارهٔ تلفن",
    "status": "وضعیت",
    "pending": "در انتظار تأیید",
    "confirmed": "تأیید شده",
    "first seen": "نخستین بار",
    "last seen": "آخرین بار",
    "accepted at": "زمان پذیرش",
    "stored at": "زمان ذخیره",
    "parked at": "زمان انتظار",
    "document": "سند",
    "When its earliest submission was accepted.": "زمان پذیرش نخستین درخواست این شماره.",
    "When its latest submission was accepted.": "زمان پذیرش آخرین درخواست این شماره.",
    # Finding
    "A phone number in any spelling, or a request_id": "شمارهٔ تلفن با هر املایی، یا request_id",
    "A request_id": "یک request_id",
    "any time": "هر زمان",
    "today": "امروز",
    "past 7 days": "۷ روز گذشته",
    "this month": "این ماه",
    "from": "از",
    "to before": "تا پیش از",
    "Show": "نمایش",
    "referrer": "ارجاع‌دهنده",
    "referrer, of the latest {count}": "ارجاع‌دهنده، از {count} ثبت‌نام آخر",
    "(none)": "(بدون ارجاع)",
    "all": "همه",
    "MongoDB does not answer.": "MongoDB پاسخ نمی‌دهد.",
    "That is no time: {time}": "این زمان نیست: {time}",
    # Revealing
    "Can see a whole phone number": "دیدن شمارهٔ کامل",
    "Can export registrations": "گرفتن خروجی از ثبت‌نام‌ها",
    "Show the whole number": "نمایش شمارهٔ کامل",
    "This is written into the audit log with your name.": "این کار با نام شما در گزارش کارها نوشته می‌شود.",
    "Back": "بازگشت",
    # Audit
    "audit entry": "کار ثبت‌شده",
    "audit log": "گزارش کارها",
    "time": "زمان",
    "who": "چه کسی",
    "what": "چه کاری",
    "about": "دربارهٔ چه",
    "added": "افزود",
    "changed": "تغییر داد",
    "deleted": "حذف کرد",
    "revealed a phone number": "شمارهٔ کامل را دید",
    "asked for an export": "خروجی خواست",
    "downloaded an export": "خروجی را گرفت",
    "replayed dead letters": "نامه‌های مرده را دوباره فرستاد",
    "discarded dead letters": "نامه‌های مرده را دور ریخت",
    "logged in": "وارد شد",
    "logged in with a second factor": "با عامل دوم وارد شد",
    "logged in with a backup code": "با کد پشتیبان وارد شد",
    "entered a wrong code": "کد نادرست وارد کرد",
    "was refused: too many wrong passwords": "راه داده نشد: گذرواژه‌های نادرست زیاد",
    "was refused: too many wrong codes": "راه داده نشد: کدهای نادرست زیاد",
    "added a second factor": "عامل دوم را افزود",
    "removed the second factor": "عامل دوم را برداشت",
    "lost the second factor by command": "عامل دومش با فرمان برداشته شد",
    "made new backup codes": "کدهای پشتیبان تازه ساخت",
    "A user's name": "نام کاربری",
    # The door
    "Second factor": "عامل دوم",
    "Set up a second factor": "راه‌اندازی عامل دوم",
    "Code": "کد",
    "Go on": "ادامه",
    "Log out": "خروج",
    "Open your authenticator app and type the six digits that it shows now, or one of your backup codes.": (
        "برنامهٔ رمزساز خود را باز کنید و شش رقمی را که اکنون نشان می‌دهد بنویسید، یا یکی از کدهای پشتیبان را."
    ),
    "That code is wrong, or has been used.": "این کد نادرست است یا پیش‌تر به کار رفته است.",
    "That code is wrong. Is the phone's clock right?": "این کد نادرست است. آیا ساعت گوشی درست است؟",
    "Here each account needs a second factor. Set yours up to go on.": (
        "اینجا هر حساب به عامل دوم نیاز دارد. برای ادامه، عامل دوم خود را راه‌اندازی کنید."
    ),
    "Scan this with an authenticator app, such as Aegis, Google Authenticator or FreeOTP.": (
        "این را با یک برنامهٔ رمزساز مانند Aegis یا Google Authenticator یا FreeOTP اسکن کنید."
    ),
    "Or type this key into the app:": "یا این کلید را در برنامه بنویسید:",
    "Then type the six digits that the app shows.": "سپس شش رقمی را که برنامه نشان می‌دهد بنویسید.",
    "Your account has a second factor. Backup codes left: {left}.": (
        "حساب شما عامل دوم دارد. کدهای پشتیبان مانده: {left}."
    ),
    "To change it, type a code.": "برای تغییر آن، یک کد بنویسید.",
    "Make new backup codes": "ساختن کدهای پشتیبان تازه",
    "Remove the second factor": "برداشتن عامل دوم",
    "Backup codes": "کدهای پشتیبان",
    "Keep these somewhere safe, not on the phone. Each is good for one login. They are shown this once.": (
        "اینها را در جایی امن و نه در گوشی نگه دارید. هر کد برای یک بار ورود است. تنها همین یک بار نشان داده می‌شود."
    ),
    "I have kept them: go on": "نگه داشتم؛ ادامه",
    "Too many wrong tries": "تلاش‌های نادرست زیاد",
    "Wait {minutes} minutes, then try again. From elsewhere you can log in.": (
        "{minutes} دقیقه صبر کنید و دوباره تلاش کنید. از جای دیگر می‌توانید وارد شوید."
    ),
    "Try again soon": "کمی بعد دوباره تلاش کنید",
    "The database does not answer. Registrations are accepted all the same.": (
        "پایگاه داده پاسخ نمی‌دهد. ثبت‌نام‌ها همچنان پذیرفته می‌شوند."
    ),
    # Exports
    "export": "خروجی",
    "exports": "خروجی‌ها",
    "format": "قالب",
    "with the referrer": "همراه با ارجاع‌دهنده",
    "state": "وضعیت",
    "rows": "سطرها",
    "size": "اندازه",
    "chosen": "انتخاب",
    "file": "پرونده",
    "deleted at": "زمان حذف",
    "waiting for a worker": "در انتظار",
    "being written": "در حال نوشتن",
    "ready": "آماده",
    "failed": "ناموفق",
    "Download": "دریافت",
    "everything": "همه",
    "First seen from this time: 24h, 7d, or a day such as {day}. Zone: {zone}.": (
        "نخستین بار از این زمان: 24h یا 7d یا روزی مانند {day}. منطقهٔ زمانی: {zone}."
    ),
    "First seen before this time.": "نخستین بار پیش از این زمان.",
    "MongoDB is asked for it, which takes longer.": "از MongoDB پرسیده می‌شود و بیشتر طول می‌کشد.",
    "Your export will be written soon; this page shows when it is ready.": (
        "خروجی شما به‌زودی نوشته می‌شود؛ همین صفحه آماده شدنش را نشان می‌دهد."
    ),
    "There are {most} exports already. Wait until one is deleted.": (
        "اکنون {most} خروجی هست. صبر کنید تا یکی حذف شود."
    ),
    # Dead letters
    "dead letter": "نامهٔ مرده",
    "dead letters": "نامه‌های مرده",
    "reason": "دلیل",
    "Replay": "فرستادن دوباره",
    "Discard": "دور ریختن",
    "unreadable": "ناخوانا",
    "RabbitMQ does not answer, or did not confirm. Nothing is lost: look again.": (
        "RabbitMQ پاسخ نداد یا تأیید نکرد. چیزی گم نشده است؛ دوباره نگاه کنید."
    ),
    "There are no dead letters.": "نامهٔ مرده‌ای نیست.",
    "Only the oldest {most} are shown.": "تنها {most} نامهٔ کهنه‌تر نشان داده شده است.",
    "Choose at least one.": "دست‌کم یکی را انتخاب کنید.",
    "They are gone from the queue already: look again.": "دیگر در صف نیستند؛ دوباره نگاه کنید.",
    "Send these {count} to the live queue again?": "این {count} نامه دوباره به صف فرستاده شود؟",
    "Give up these {count} for good? They are accepted registrations.": (
        "این {count} نامه برای همیشه دور ریخته شود؟ اینها ثبت‌نام‌هایی پذیرفته‌شده‌اند."
    ),
    "Each registration of a batch as a message of its own": "هر ثبت‌نام یک دسته در پیامی جدا",
    "Why": "چرا",
    "Write why: it goes to the audit log.": "بنویسید چرا؛ در گزارش کارها نوشته می‌شود.",
    "{count} replayed.": "{count} نامه دوباره فرستاده شد.",
    "{count} discarded.": "{count} نامه دور ریخته شد.",
    "and {count} more": "و {count} تای دیگر",
    "No, go back": "نه، بازگشت",
}


def word(english: str) -> Any:
    """Return a text that is Persian wherever the language is, when it is shown."""
    return lazystr(_Word(english))


def shown(english: str, **values: object) -> str:
    """Return a text in the language of now, with values put in."""
    if get_language() != "fa":
        return english.format(**values) if values else english
    text = FA.get(english, english)
    persian = {name: in_persian_digits(str(value)) for name, value in values.items()}
    return text.format(**persian) if values else text


class _Word:
    def __init__(self, english: str) -> None:
        self.english = english

    def __str__(self) -> str:
        return shown(self.english)
