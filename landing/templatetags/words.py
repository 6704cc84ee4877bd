"""{{ "Back"|word }} in the admin's templates."""

from django import template

from landing.words import shown

register = template.Library()
register.filter("word", shown)
