"""Specs of the processing pipeline: from a dataset version to a cleaner one, through stages that can be switched."""

from typing import Literal

from pydantic import Field

from workers.spec.base import Spec

StageName = Literal["language", "extraction", "normalisation", "rules", "quality", "deduplication", "personal", "decontamination"]
STAGE_ORDER: tuple[StageName, ...] = (
    "language", "extraction", "normalisation", "rules", "quality", "deduplication", "personal", "decontamination",
)  # fmt: skip
PersonalKind = Literal["email", "phone", "id_card", "bank_card", "ip"]
Language = Literal["zh", "en", "ja", "ko", "ru", "ar", "fr", "de", "es"]


class LanguageStage(Spec):
    """Keep records in these languages. Files and HTML are judged when their text has been read."""

    on: bool = False
    keep: list[Language] = Field(["zh", "en"], description="languages that stay")
    unknown: bool = Field(True, description="keep records whose language cannot be told")


class ExtractionStage(Spec):
    """Plain text out of HTML, PDF and DOCX."""

    on: bool = True
    html: Literal["auto", "always", "never"] = Field("auto", description="auto: texts that are HTML documents")
    main_text: bool = Field(True, description="leave out navigation, lists of links and hidden parts")
    files: bool = Field(True, description="read files that a record carries (PDF, DOCX, HTML, text)")
    maximum_pages: int = Field(500, ge=1, le=10_000, description="pages of a PDF that are read")


class NormalisationStage(Spec):
    """One way of writing the same thing. Traditional and simplified characters stay as they are."""

    on: bool = True
    unicode: Literal["none", "NFC", "NFKC"] = Field("NFC", description="NFKC also turns ，！into ,! and １ into 1")
    control: bool = Field(True, description="remove control characters and invisible marks")
    whitespace: bool = Field(True, description="line ends, exotic and trailing spaces, more than one empty line")
    collapse_spaces: bool = Field(False, description="several spaces become one (breaks the indentation of code)")


class RulesStage(Spec):
    """Simple rules. Shares are of a record's characters, lines or words; 1 switches a rule off."""

    on: bool = True
    minimum_characters: int = Field(1, ge=0)
    maximum_characters: int = Field(1_000_000, ge=1)
    shares_from: int = Field(100, ge=0, description="the rules on shares judge records of at least so many characters")
    maximum_symbols: float = Field(0.5, ge=0, le=1)
    maximum_digits: float = Field(0.5, ge=0, le=1)
    maximum_urls: float = Field(0.5, ge=0, le=1)
    maximum_repeated_lines: float = Field(0.5, ge=0, le=1)
    maximum_repeated_ngrams: float = Field(0.6, ge=0, le=1, description="share of words in runs of five that occur again")
    minimum_stop_words: int = Field(0, ge=0, le=20, description="different small words (the, of, 的, 是 …) in Chinese or English")
    bad_words: list[str] = Field(default_factory=list, max_length=10_000)
    maximum_bad_words: int = Field(0, ge=0, description="a record with more of them is dropped")


class QualityStage(Spec):
    """A score between 0 and 1 in `facets.quality`; see `workers.data.processing.quality`."""

    on: bool = True
    minimum: float = Field(0.0, ge=0, le=1, description="records below are dropped")


class DeduplicationStage(Spec):
    """One record of each group of equal or nearly equal ones stays."""

    on: bool = True
    exact: bool = True
    near: bool = Field(True, description="MinHash and locality-sensitive hashing over n-grams")
    ngram: int = Field(5, ge=1, le=20, description="words, or Chinese characters, in a row")
    threshold: float = Field(0.8, ge=0.3, le=1, description="Jaccard similarity from which records count as equal")
    permutations: int = Field(128, ge=32, le=512)
    embedding: bool = Field(False, description="cosine of hashed character n-gram TF-IDF vectors (no neural model)")
    cosine: float = Field(0.92, ge=0.7, le=1)
    keep: Literal["first", "longest", "best"] = "first"
    same_label: bool = Field(True, description="only records with the same label, answer and media are duplicates")


class PersonalStage(Spec):
    """Personal data becomes [EMAIL], [PHONE], [ID_CARD], [BANK_CARD], [IP], or its record is dropped."""

    on: bool = True
    kinds: list[PersonalKind] = ["email", "phone", "id_card", "bank_card", "ip"]
    action: Literal["mask", "drop"] = "mask"


class DecontaminationStage(Spec):
    """Drop what shares a run of words with an example of an evaluation set."""

    on: bool = False
    against: list[int] = Field(default_factory=list, max_length=50, description="dataset versions with the evaluation examples")
    ngram: int = Field(13, ge=5, le=50, description="words, or Chinese characters, in a row that must be shared")
    common: int = Field(10, ge=1, description="runs found in more than so many examples are phrases and do not count")


class Stages(Spec):
    """What the pipeline does, in this order."""

    language: LanguageStage = LanguageStage()
    extraction: ExtractionStage = ExtractionStage()
    normalisation: NormalisationStage = NormalisationStage()
    rules: RulesStage = RulesStage()
    quality: QualityStage = QualityStage()
    deduplication: DeduplicationStage = DeduplicationStage()
    personal: PersonalStage = PersonalStage()
    decontamination: DecontaminationStage = DecontaminationStage()

    def active(self) -> list[StageName]:
        """Names of the stages that are switched on, in their order."""
        return [name for name in STAGE_ORDER if getattr(self, name).on]


class ProcessDatasetSpec(Spec):
    """Turn a dataset version into a new one."""

    datasets: list[int] = Field(min_length=1, description="the version that is processed, then those it is compared with")
    stages: Stages = Stages()
