"""Canonical records to the formats that other programs read, as a stream of bytes; `losses` tells beforehand what is left out."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from workers.data.formats.base import Loss
from workers.data.formats.canonical import EMPTY_TEXT, JSON_COLUMNS, TABLE_COLUMNS, guard
from workers.data.records import canonical_json, record_line, slim
from workers.data.writers.base import Counts, Files, Writer, json_list, lines, no_files
from workers.data.writers.chats import chat_losses, guanaco_rows, labelllm_rows, moss_rows, wanjuan_rows
from workers.data.writers.columns import column_losses, huggingface, parquet
from workers.data.writers.conversations import alpaca_rows, conversation_losses, openai_rows, sharegpt_rows
from workers.data.writers.media import asr, llamafactory, media_losses, own, webdataset
from workers.data.writers.pictures import coco, labelme, picture_losses, voc, yolo
from workers.data.writers.preferences import implicit_rows, kto_rows, preference_losses, preference_rows, ranking_rows
from workers.data.writers.spans import conll, span_losses
from workers.data.writers.tools import labelstudio_losses, labelstudio_rows, labelu_losses, labelu_rows
from workers.spec.errors import UserError
from workers.spec.record import Record


def _canonical(records: Iterable[Record], files: Files) -> Iterator[bytes]:
    return (record_line(slim(record.model_dump(mode="json"))) for record in records)


def _table(records: Iterable[Record], files: Files) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(TABLE_COLUMNS)
    for record in records:
        writer.writerow(_cells(slim(record.model_dump(mode="json"))))
        if buffer.tell() > 65536:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def _cells(record: dict[str, Any]) -> list[str]:
    facets = record.get("facets", {})
    cells = []
    for column in TABLE_COLUMNS:
        value = facets.get(column.removeprefix("facets.")) if column.startswith("facets.") else record.get(column)
        if value is None:
            cells.append("")
        elif column in JSON_COLUMNS:
            cells.append(canonical_json(value).decode())
        else:
            cells.append(guard(str(value)) if value != "" else EMPTY_TEXT)
    return cells


WRITERS: tuple[Writer, ...] = (
    Writer("jsonl", "JSON Lines", ".jsonl", _canonical, column_losses),
    Writer("csv", "CSV", ".csv", _table, column_losses),
    Writer("parquet", "Parquet", ".parquet", parquet, column_losses),
    Writer("huggingface", "Hugging Face datasets", ".zip", huggingface, column_losses),
    Writer("alpaca", "Alpaca", ".json", json_list(alpaca_rows), partial(conversation_losses, "alpaca")),
    Writer("sharegpt", "ShareGPT", ".json", json_list(sharegpt_rows), partial(conversation_losses, "sharegpt")),
    Writer("openai", "OpenAI", ".jsonl", lines(openai_rows), partial(conversation_losses, "openai")),
    Writer("preference", "TRL preference", ".jsonl", lines(preference_rows), partial(preference_losses, "preference")),
    Writer("reward", "TRL reward", ".jsonl", lines(implicit_rows), partial(preference_losses, "reward")),
    Writer("kto", "KTO", ".jsonl", lines(kto_rows), partial(preference_losses, "kto")),
    Writer("ranking", "Ranking", ".jsonl", lines(ranking_rows), partial(preference_losses, "ranking")),
    Writer("moss", "MOSS", ".jsonl", lines(moss_rows), partial(chat_losses, "moss")),
    Writer("guanaco", "Guanaco", ".jsonl", lines(guanaco_rows), partial(chat_losses, "guanaco")),
    Writer("labelllm", "LabelLLM", ".jsonl", lines(labelllm_rows), partial(chat_losses, "labelllm")),
    Writer("wanjuan", "WanJuan", ".jsonl", lines(wanjuan_rows), partial(chat_losses, "wanjuan")),
    Writer("zip", "JSON Lines with files", ".zip", own, partial(media_losses, "zip")),
    Writer("webdataset", "WebDataset", ".tar", webdataset, partial(media_losses, "webdataset")),
    Writer("llamafactory", "LLaMA-Factory with files", ".zip", llamafactory, partial(media_losses, "llamafactory")),
    Writer("coco", "COCO", ".zip", coco, partial(picture_losses, "coco")),
    Writer("voc", "Pascal VOC", ".zip", voc, partial(picture_losses, "voc")),
    Writer("yolo", "YOLO", ".zip", yolo, partial(picture_losses, "yolo")),
    Writer("labelme", "labelme", ".zip", labelme, partial(picture_losses, "labelme")),
    Writer("labelstudio", "Label Studio", ".json", json_list(labelstudio_rows), labelstudio_losses),
    Writer("labelu", "LabelU", ".jsonl", lines(labelu_rows), labelu_losses),
    Writer("conll", "CoNLL", ".conll", conll, span_losses),
    Writer("asr", "ASR manifest", ".zip", asr, partial(media_losses, "asr")),
)
_BY_NAME = {writer.name: writer for writer in WRITERS}
FORMATS = tuple(_BY_NAME)
SUFFIXES = {writer.name: writer.suffix for writer in WRITERS}
LABELS = {writer.name: writer.label for writer in WRITERS}


def export(records: Iterable[Record], format: str, files: Files = no_files) -> Iterator[bytes]:
    """The file, piece by piece. Records that the format cannot say are left out (see `losses`)."""
    if format not in _BY_NAME:
        raise UserError(
            "export.unknown_format", "«{format}» is no export format; choose one of {known}.",
            format=format, known=", ".join(FORMATS),
        )  # fmt: skip
    return _BY_NAME[format].pieces(records, files)


def losses(format: str, stats: Mapping[str, Any]) -> list[Loss]:
    """What an export of a version with these statistics (stats.json) leaves out; nothing for our own formats."""
    return [loss for loss in _BY_NAME[format].losses(Counts(stats)) if loss.count > 0]


def exported_count(format: str, stats: Mapping[str, Any]) -> int:
    """About how many records of such a version the format can say: 0 means that there is nothing to download."""
    return Counts(stats).total - sum(loss.count for loss in losses(format, stats) if loss.left_out)
