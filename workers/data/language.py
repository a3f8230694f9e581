"""A guess at the language of a text from its letters and its small words; None where it would be mere luck."""

import re

_SAMPLE = 600
_HAN = re.compile(r"[\u4e00-\u9fff\u3400-\u4dbf]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_HANGUL = re.compile(r"[\uac00-\ud7af]")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_ARABIC = re.compile(r"[\u0600-\u06ff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
_WORD = re.compile(r"[a-z\u00df-\u024f']+")
_ENGLISH = (
    "the a an is are was were be to of and in that it i you he she they we my your what how why who when where do does "
    "did can will would not this with for on at from have has there please"
)
_FRENCH = "le la les un une des est sont et dans que je vous il elle nous ne pas pour sur avec qui du au ce"
_GERMAN = "der die das ein eine ist sind und in zu nicht ich sie er wir mit für auf von den dem wie was"
_SPANISH = "el la los las un una es son y en que yo no para con por del se lo como está qué mi su"
_SMALL_WORDS = {
    language: frozenset(words.split())
    for language, words in (("en", _ENGLISH), ("fr", _FRENCH), ("de", _GERMAN), ("es", _SPANISH))
}


def guess_language(text: str) -> str | None:
    """`zh`, `ja`, `ko`, `ru`, `ar`, `en`, `fr`, `de`, `es`, or None."""
    sample = text[:_SAMPLE]
    if sample.isascii():
        return _latin(sample)
    letters = len(_LATIN.findall(sample))
    for pattern, language in ((_HANGUL, "ko"), (_KANA, "ja"), (_HAN, "zh"), (_CYRILLIC, "ru"), (_ARABIC, "ar")):
        found = len(pattern.findall(sample))
        # a Han character says about as much as two or three Latin letters
        if found and found * 3 >= letters:
            return language
    return _latin(sample)


def _latin(sample: str) -> str | None:
    words = set(_WORD.findall(sample.lower()))
    if not words:
        return None
    best = runner_up = 0
    found = None
    for language, small in _SMALL_WORDS.items():
        score = len(words & small)
        if score > best:
            best, runner_up, found = score, best, language
        elif score > runner_up:
            runner_up = score
    return found if best > runner_up and best * 12 >= len(words) else None
