"""Template helpers of the shared partials: form controls with the house's classes, and names of states."""

from django import template
from django.forms import CheckboxInput, CheckboxSelectMultiple, RadioSelect, Select
from django.forms.boundfield import BoundField, BoundWidget
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as noop

register = template.Library()

STATES = {
    "queued": noop("Queued"),
    "running": noop("Running"),
    "stopping": noop("Stopping"),
    "done": noop("Done"),
    "failed": noop("Failed"),
    "cancelled": noop("Cancelled"),
    "paused": noop("Paused"),
    "starting": noop("Starting"),
    "ready": noop("Ready"),
    "stopped": noop("Stopped"),
}


@register.filter
def control(field: BoundField) -> SafeString:
    """A form field's widget with the classes and states that the style sheet knows."""
    widget = field.field.widget
    if isinstance(widget, CheckboxInput):
        name = "form-check-input"
    else:
        name = "form-select" if isinstance(widget, Select) else "form-control"
    classes = [widget.attrs.get("class", ""), name, "is-invalid" if field.errors else ""]
    return field.as_widget(attrs={"class": " ".join(part for part in classes if part)})


@register.filter
def is_group(field: BoundField) -> bool:
    """Whether a field is several check boxes or radio buttons under one heading."""
    return isinstance(field.field.widget, RadioSelect | CheckboxSelectMultiple)


@register.filter
def options(field: BoundField) -> list[BoundWidget]:
    """The buttons of a group, each with the style sheet's class."""
    field.field.widget.attrs["class"] = "form-check-input"
    return list(field.subwidgets)


@register.simple_tag
def state_label(state: str) -> str:
    """A state in the reader's language; unknown states show as they are."""
    return gettext(STATES[state]) if state in STATES else state
