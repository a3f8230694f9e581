"""Names of stages, settings and reasons, for people. Keys of the translation."""

from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as noop

STAGES = {
    "language": noop("Language screening"),
    "extraction": noop("Text extraction"),
    "normalisation": noop("Normalisation"),
    "rules": noop("Rule filters"),
    "quality": noop("Quality score"),
    "deduplication": noop("De-duplication"),
    "personal": noop("Personal data"),
    "decontamination": noop("Decontamination"),
}

EXPLAINED = {
    "language": noop("Keeps records in the languages that you want."),
    "extraction": noop("Turns HTML, PDF and DOCX into plain text."),
    "normalisation": noop(
        "One way of writing the same thing: Unicode, control characters, spaces. Traditional and simplified stay."
    ),
    "rules": noop("Drops what is too short or long, symbols, digits, links, repetition, and bad words."),
    "quality": noop("Gives every record a score between 0 and 1 that you can filter by; low ones can be dropped."),
    "deduplication": noop("Of equal and nearly equal records one stays."),
    "personal": noop("E-mail, telephone, identity card, bank card and IP address are masked."),
    "decontamination": noop("Drops what shares a run of words with an example of your evaluation sets."),
}

LABELS = {
    "language.keep": noop("Languages that stay"),
    "language.unknown": noop("Keep records whose language cannot be told"),
    "extraction.html": noop("HTML in texts"),
    "extraction.main_text": noop("Leave out navigation, lists of links and hidden parts"),
    "extraction.files": noop("Read PDF, DOCX, HTML and text files"),
    "extraction.maximum_pages": noop("Pages of a PDF, at most"),
    "normalisation.unicode": noop("Unicode form"),
    "normalisation.control": noop("Remove control characters and invisible marks"),
    "normalisation.whitespace": noop("Tidy line ends, odd spaces and empty lines"),
    "normalisation.collapse_spaces": noop("Several spaces become one (breaks the indentation of code)"),
    "rules.minimum_characters": noop("Characters, at least"),
    "rules.maximum_characters": noop("Characters, at most"),
    "rules.shares_from": noop("Shares are judged from … characters"),
    "rules.maximum_symbols": noop("Symbols, at most"),
    "rules.maximum_digits": noop("Digits, at most"),
    "rules.maximum_urls": noop("Links, at most"),
    "rules.maximum_repeated_lines": noop("Repeated lines, at most"),
    "rules.maximum_repeated_ngrams": noop("Repeated runs of five words, at most"),
    "rules.minimum_stop_words": noop("Different small words, at least"),
    "rules.bad_words": noop("Bad words, one a line"),
    "rules.maximum_bad_words": noop("Bad words, at most"),
    "quality.minimum": noop("Drop records below"),
    "deduplication.exact": noop("Equal words"),
    "deduplication.near": noop("Nearly equal words (MinHash)"),
    "deduplication.ngram": noop("Words or Chinese characters in a row"),
    "deduplication.threshold": noop("Similarity from which records count as equal"),
    "deduplication.permutations": noop("Hash functions"),
    "deduplication.embedding": noop("Similar vectors (TF-IDF of character runs, no neural model)"),
    "deduplication.cosine": noop("Cosine from which records count as equal"),
    "deduplication.keep": noop("The one that stays"),
    "deduplication.same_label": noop("Only records with the same label, answer and media"),
    "personal.kinds": noop("What is looked for"),
    "personal.action": noop("What happens to it"),
    "decontamination.against": noop("Evaluation sets"),
    "decontamination.ngram": noop("Shared words or Chinese characters in a row"),
    "decontamination.common": noop("Phrases found in more than … examples do not count"),
}

HELP = {
    "normalisation.unicode": noop("NFC keeps ，！１ as they are; NFKC turns them into ,!1."),
    "rules.maximum_symbols": noop("Shares lie between 0 and 1; 1 switches the rule off."),
    "rules.minimum_stop_words": noop("the, of, and … 的, 是, 在 …; 0 switches the rule off."),
    "quality.minimum": noop(
        "The score weighs letters, repetition, broken characters, variety, small words and length; ordinary text gets above 0.9."
    ),
    "deduplication.threshold": noop("1: the same words in the same order."),
    "decontamination.against": noop("Data that evaluation suites use is chosen already."),
    "decontamination.ngram": noop("Shorter examples count when a text is the whole of them."),
}

CHOICES = {
    "auto": noop("where a text is an HTML document"),
    "always": noop("wherever there is a tag"),
    "never": noop("leave as it is"),
    "none": noop("leave as it is"),
    "first": noop("the first"),
    "longest": noop("the longest"),
    "best": noop("the one with the best quality score"),
    "email": noop("e-mail address"),
    "phone": noop("telephone number"),
    "id_card": noop("Chinese identity number"),
    "bank_card": noop("bank card"),
    "ip": noop("IP address"),
    "mask": noop("mask it"),
    "drop": noop("drop the record"),
    "zh": noop("Chinese"),
    "en": noop("English"),
    "ja": noop("Japanese"),
    "ko": noop("Korean"),
    "ru": noop("Russian"),
    "ar": noop("Arabic"),
    "fr": noop("French"),
    "de": noop("German"),
    "es": noop("Spanish"),
}

REASONS = {
    "unknown_language": noop("language unknown"),
    "other_language": noop("another language"),
    "too_slow": noop("reading took too long"),
    "broken": noop("broken document"),
    "encrypted": noop("encrypted document"),
    "too_large": noop("document too large"),
    "unsupported": noop("not a kind of document that can be read"),
    "no_text": noop("no text in it"),
    "missing": noop("the file is not there"),
    "html": noop("HTML became text"),
    "file": noop("text read from a file"),
    "control": noop("control characters removed"),
    "unicode": noop("Unicode form changed"),
    "whitespace": noop("spaces tidied"),
    "spaces": noop("spaces collapsed"),
    "too_short": noop("too short"),
    "too_long": noop("too long"),
    "symbols": noop("too many symbols"),
    "digits": noop("too many digits"),
    "urls": noop("too many links"),
    "repeated_lines": noop("lines repeat"),
    "repeated_ngrams": noop("phrases repeat"),
    "stop_words": noop("too few small words"),
    "bad_words": noop("bad words"),
    "low_quality": noop("quality too low"),
    "exact": noop("equal to another"),
    "near": noop("nearly equal to another"),
    "embedding": noop("vector like another's"),
    "evaluation_example": noop("found in an evaluation set"),
}

BAD = {
    "broken": noop("garbled or broken"),
    "wrong": noop("wrong label or answer"),
    "poor": noop("says nothing of use"),
    "duplicate": noop("a duplicate"),
    "unsafe": noop("unsafe content"),
    "personal": noop("personal data"),
    "other": noop("something else"),
}
"""Why a person called a record bad in a spot check."""


def stage_label(name: str) -> str:
    return gettext(STAGES[name]) if name in STAGES else name


def reason_label(code: str) -> str:
    known = REASONS.get(code) or CHOICES.get(code)
    return gettext(known) if known else code


def bad_label(code: str) -> str:
    return gettext(BAD[code]) if code in BAD else code


def detail_words(detail: dict[str, Any]) -> str:
    """The figures of a reason in a few words: 0.61, limit 0.4 · en · first v2 · «…»."""
    said = []
    if "value" in detail and "limit" in detail:
        said.append(gettext("%(value)s, limit %(limit)s") % {"value": detail["value"], "limit": detail["limit"]})
    if detail.get("word"):
        said.append(f"“{detail['word']}”")
    if detail.get("language"):
        said.append(reason_label(detail["language"]))
    if detail.get("kept"):
        said.append(gettext("“%(id)s” stays") % {"id": detail["kept"]})
    if detail.get("evaluation"):
        said.append(f"{detail['evaluation']}, {detail['example']}: “{detail['shared']}”")
    return " · ".join(said)
