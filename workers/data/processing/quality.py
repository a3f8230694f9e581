"""Stage `quality`: a score between 0 and 1, the same on every machine, in `facets.quality`. No model takes part.

The score is the weighted geometric mean of six ramps, each 1 where a text is ordinary and falling to 0.05 where it is not:
  letters (3)      letters and Chinese characters of all that is not space: 0 at 30 %, 1 from 65 %
  repetition (3)   words in runs of five that occur again: 1 up to 10 %, 0 at 60 %; lines that repeat: likewise
  garbage (3)      characters of broken encodings (�, Ã©, â€, 锟斤拷, 烫烫烫): 1 at none, 0 from 2 %
  variety (2)      different words among the first 300: 0 at 5 %, 1 from 30 % (Chinese characters: the same); short texts: 1
  small words (2)  the, of, 的, 是 …: different ones in texts of at least 60 words: 0 at none, 1 from four; short texts: 1
  length (1)       words: 0 at none, 1 from twelve
"""

import math
import re
from typing import Any

from workers.data.processing import measures
from workers.data.processing.fields import with_facet, words
from workers.data.processing.outcome import Outcome, RecordStage
from workers.spec.processing import QualityStage

BINS = 20
_FLOOR = 0.05
_GARBAGE = re.compile("\ufffd|锟斤拷|烫烫烫|屯屯屯|Ã[\u0080-\u00bf©¨¤¶¼±³¡]|â€[\u0080-\u00bfœ™“”˜¦]?|Â[\u00a0-\u00bf]")
_SHORT = 60


class Quality(RecordStage):
    """Scores every record with words; below the minimum it is dropped. Records without words keep what they have."""

    def __init__(self, settings: QualityStage) -> None:
        self.minimum = settings.minimum
        self.histogram = [0] * BINS

    def resume(self, entered: int, figures: dict[str, Any]) -> None:
        self.histogram = list(figures.get("histogram", self.histogram))

    def figures(self) -> dict[str, Any]:
        return {"histogram": self.histogram}

    def process(self, record: dict[str, Any]) -> Outcome:
        text = words(record)
        if not text:
            return Outcome(record)
        score = quality(text)
        self.histogram[min(BINS - 1, int(score * BINS))] += 1
        if score < self.minimum:
            return Outcome(None, "low_quality", {"value": score, "limit": self.minimum})
        return Outcome(with_facet(record, "quality", score))


def quality(text: str) -> float:
    """The score of a text, rounded to four digits."""
    sample = text[: measures.SAMPLED]
    tokens = measures.tokens(sample)
    plain = len("".join(sample.split()))
    if not plain:
        return 0.0
    garbage = 0 if sample.isascii() else sum(map(len, _GARBAGE.findall(sample)))
    short = len(tokens) < _SHORT
    ramps = (
        (3, _ramp(measures.letter_share(sample), 0.30, 0.65)),
        (3, _ramp(max(measures.repeated_ngram_share(tokens), measures.repeated_line_share(sample)), 0.60, 0.10)),
        (3, _ramp(garbage / plain, 0.02, 0.0)),
        (2, 1.0 if short else _ramp(measures.variety(tokens), 0.05, 0.30)),
        (2, 1.0 if short else _ramp(measures.stop_words(tokens), 0, 4)),
        (1, _ramp(len(tokens), 0, 12)),
    )
    weight = sum(weight for weight, _value in ramps)
    return round(math.exp(sum(weight * math.log(value) for weight, value in ramps) / weight), 4)


def _ramp(value: float, worst: float, best: float) -> float:
    """_FLOOR at `worst`, 1 at `best`, a straight line between."""
    share = (value - worst) / (best - worst)
    return _FLOOR + (1 - _FLOOR) * min(1.0, max(0.0, share))
