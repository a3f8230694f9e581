"""S6.1, S6.5: pictures, sound and film come in with their labels from archives, safely, and go out again."""

import io
import json
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.workers.data.test_exporters import statistics
from tests.workers.data.test_importing import shared
from workers.data.exporters import export, exported_count, losses
from workers.data.formats.base import Problem
from workers.data.importing import Importer, Settings, preview
from workers.spec.errors import UserError
from workers.spec.record import Answer, Facets, Media, Record


def pack(path: Path, members: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def bring_in(path: Path, format: str = "auto") -> tuple[list[Record], list[tuple[str, str]], Importer]:
    """Records, (head, code) of what was refused, and the importer; media go to a folder beside the file."""
    importer = Importer(path, path.name, Settings(format=format), media_folder=path.parent / "media")
    items = list(importer)
    good = [Record.model_validate(item.record) for item in items if not isinstance(item, Problem)]
    return good, [(item.head, item.error.code) for item in items if isinstance(item, Problem)], importer


def send_out(records: list[Record], format: str, folder: Path, name: str = "export.zip") -> Path:
    def stored(sha256: str) -> Path | None:
        path = folder / "media" / sha256[:2] / sha256
        return path if path.exists() else None

    path = folder / name
    path.write_bytes(b"".join(export(records, format, stored)))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    return path


def picture(width: int, height: int, orientation: int = 1) -> bytes:
    image = Image.new("RGB", (width, height), (200, 30, 30))
    exif = Image.Exif()
    exif[274] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def regions(record: Record) -> dict[str, Any]:
    assert record.annotations
    return next(item.value for item in record.annotations if item.type == "regions")


PHOTOS = ("2011_000003", "2011_000006", "2011_000025")


def photos(prefix: str = "") -> dict[str, bytes | str]:
    return {f"{prefix}{name}.jpg": shared(f"images_bbox/{name}.jpg").read_bytes() for name in PHOTOS}


def test_coco_labelme_and_voc_say_the_same_of_real_photographs(tmp_path: Path) -> None:
    labelme = {f"{name}.json": shared(f"images_bbox/{name}.json").read_bytes() for name in PHOTOS}
    voc = {f"Annotations/{name}.xml": shared(f"images_bbox/{name}.voc.xml").read_bytes() for name in PHOTOS}
    coco = {"annotations.json": shared("images_bbox/coco_annotations.json").read_bytes()}
    sets = {
        "labelme": {**labelme, **photos()},
        "voc": {**voc, **photos("JPEGImages/")},
        "coco": {**coco, **photos("JPEGImages/")},
    }
    found = {}
    for format, members in sets.items():
        records, refused, importer = bring_in(pack(tmp_path / f"{format}.zip", members))
        assert (refused, importer.format, len(records)) == ([], format, 3)
        found[format] = {Path(record.id).name: record for record in records}
        assert all(record.media and record.media[0].sha256 and record.media[0].width == 500 for record in records)
    for name in PHOTOS:
        boxes, same = regions(found["labelme"][name]), regions(found["voc"][name])
        assert boxes == same
        assert regions(found["coco"][name])["image"] == boxes["image"]
    first = regions(found["labelme"][PHOTOS[0]])["regions"][0]
    assert first == {"id": "1", "kind": "box", "x": 191, "y": 107.369, "w": 122, "h": 222, "label": "person"}
    assert {region["kind"] for region in regions(found["coco"][PHOTOS[0]])["regions"]} == {"polygon"}


@pytest.mark.parametrize("format", ["coco", "voc", "yolo", "labelme", "zip"])
@pytest.mark.parametrize("source", ["labelme", "coco"])
def test_real_photographs_come_back_the_same(format: str, source: str, tmp_path: Path) -> None:
    """Canonical records are the same after a way out and in; what is not carried is told before."""
    if source == "coco":
        members = {"a.json": shared("images_bbox/coco_annotations.json").read_bytes(), **photos("JPEGImages/")}
    else:
        members = {**{f"{name}.json": shared(f"images_bbox/{name}.json").read_bytes() for name in PHOTOS}, **photos()}
    records, _, _ = bring_in(pack(tmp_path / "in.zip", members))
    back, refused, importer = bring_in(send_out(records, format, tmp_path))
    assert refused == []
    assert importer.format == ("jsonl" if format == "zip" else format)
    told = {loss.code for loss in losses(format, statistics(records))}
    assert exported_count(format, statistics(records)) == 3
    if format == "voc" and source == "coco":
        assert told == {"polygon_boxes"}
        assert {region["kind"] for region in regions(back[0])["regions"]} == {"box"}
        return
    if format == "yolo":
        assert told == {"only_regions"}
        numbered = [record.model_copy(update={"annotations": without_ids(record)}) for record in records]
        assert [record.annotations for record in sorted(back, key=lambda record: record.id)] == [
            record.annotations for record in sorted(numbered, key=lambda record: record.id)
        ]
        return
    assert told == set()
    assert sorted(back, key=lambda record: record.id) == sorted(records, key=lambda record: record.id)


def without_ids(record: Record) -> list[Answer]:
    value = regions(record)
    shapes = [{**region, "id": str(index)} for index, region in enumerate(value["regions"], start=1)]
    return [Answer(q="regions", type="regions", value={**value, "regions": shapes})]


BOX = {"id": "b", "kind": "box", "x": 10, "y": 20.5, "w": 30, "h": 5, "label": "x"}
EVERYTHING = Record(
    id="p",
    modality="image",
    text="A caption",
    media=[Media(kind="image", name="dir/p.jpg", caption="c")],
    label="cat",
    annotations=[
        Answer(q="mood", type="choice", value="good"),
        Answer(q="parts", type="regions", value={"image": {"w": 80, "h": 40}, "regions": [BOX, {
            "id": "q", "kind": "polygon", "points": [[0, 0], [5, 0], [5.25, 5]], "label": "y"}]}),
    ],
    facets=Facets(source="here", licence="CC0"),
    extra={"k": [1]},
)  # fmt: skip


@pytest.mark.parametrize("format", ["coco", "labelme"])
def test_what_picture_formats_have_no_place_for_is_kept_beside(format: str, tmp_path: Path) -> None:
    jpeg = picture(80, 40)
    rows = json.dumps(EVERYTHING.model_dump(mode="json", exclude_none=True))
    (record,), refused, _ = bring_in(pack(tmp_path / "in.zip", {"records.jsonl": rows, "dir/p.jpg": jpeg}))
    assert refused == []
    (back,), refused, _ = bring_in(send_out([record], format, tmp_path))
    assert (refused, back) == ([], record)


def test_pictures_turned_by_exif_have_their_boxes_where_people_see_them(tmp_path: Path) -> None:
    """Labels made on the stored picture are turned with it; labels made on the seen one stay."""
    size = "<size><width>{}</width><height>{}</height><depth>3</depth></size>"
    frame = "<object><name>x</name><bndbox><xmin>10</xmin><ymin>20</ymin><xmax>40</xmax><ymax>30</ymax></bndbox></object>"

    def voc(width: int, height: int) -> str:
        return f"<annotation><filename>a.jpg</filename>{size.format(width, height)}{frame}</annotation>"

    for stored, expected in (
        ((100, 60), {"x": 30, "y": 10, "w": 10, "h": 30}),  # drawn on the stored picture: turned a quarter clockwise
        ((60, 100), {"x": 10, "y": 20, "w": 30, "h": 10}),  # drawn on the picture as it is seen
    ):
        path = pack(tmp_path / "a.zip", {"a.xml": voc(*stored), "a.jpg": picture(100, 60, orientation=6)})
        (record,), refused, _ = bring_in(path)
        assert refused == []
        assert record.media
        assert (record.media[0].width, record.media[0].height) == (60, 100)
        assert regions(record)["image"] == {"w": 60, "h": 100}
        found = regions(record)["regions"][0]
        assert {name: found[name] for name in "xywh"} == expected
    records, refused, _ = bring_in(pack(tmp_path / "b.zip", {"a.xml": voc(50, 50), "a.jpg": picture(100, 60)}))
    assert (records, [code for _, code in refused][:1]) == ([], ["record.picture_size"])


def test_folders_of_media_become_records_with_labels_and_captions(tmp_path: Path) -> None:
    jpeg = picture(20, 10)
    members = {
        "set/train/cat/1.jpg": jpeg,
        "set/train/dog/2.jpg": jpeg,
        "set/test/dog/3.jpg": jpeg,
        "set/test/dog/3.txt": " A dog. ",
    }
    records, refused, importer = bring_in(pack(tmp_path / "a.zip", members))
    assert (refused, importer.format) == ([], "folder")
    assert [(record.label, record.text, record.extra) for record in records] == [
        ("dog", "A dog.", {"split": "test"}),
        ("cat", None, {"split": "train"}),
        ("dog", None, {"split": "train"}),
    ]
    assert len(list((tmp_path / "media").rglob("*"))) == 2  # one file below one folder: equal contents are kept once


def test_real_sound_and_film_come_in_whole(tmp_path: Path) -> None:
    """The demos of LLaMA-Factory with their pictures, sound and film; an ASR manifest with real recordings."""
    folder = shared("llamafactory/mllm_demo_data")
    files: dict[str, bytes | str] = {f"mllm_demo_data/{path.name}": path.read_bytes() for path in folder.iterdir()}
    names = ("mllm_demo.json", "mllm_audio_demo.json", "mllm_video_demo.json")
    records, refused, _ = bring_in(
        pack(tmp_path / "a.zip", {**files, **{name: shared(f"llamafactory/{name}").read_bytes() for name in names}})
    )
    assert [code for _, code in refused if code != "record.unused_media"] == []
    assert {record.modality for record in records} == {"image", "audio", "video"}
    assert all(item.sha256 for record in records for item in record.media or [])
    assert any(item.duration_ms for record in records for item in record.media or [] if item.kind == "audio")
    film = [item.duration_ms for record in records for item in record.media or [] if str(item.name).endswith(".mp4")]
    assert film
    assert all(1000 < (length or 0) < 120_000 for length in film)
    back, refused, _ = bring_in(send_out(records, "zip", tmp_path))
    assert (refused, back) == ([], records)
    again, refused, importer = bring_in(send_out(records, "llamafactory", tmp_path, "lf.zip"))
    assert (refused, importer.format) == ([], "sharegpt")
    assert [[item.sha256 for item in record.media or []] for record in again] == [
        [item.sha256 for item in record.media or []] for record in records
    ]


def test_asr_manifest_with_real_recordings(tmp_path: Path) -> None:
    folder = shared("speech_digits")
    paths = sorted(folder.glob("*.wav"))
    rows = [{"audio_filepath": f"wav/{path.name}", "text": path.name[0]} for path in paths]
    members: dict[str, bytes | str] = {f"wav/{path.name}": path.read_bytes() for path in paths}
    members["manifest.jsonl"] = "".join(json.dumps(row) + "\n" for row in rows)
    records, refused, importer = bring_in(pack(tmp_path / "a.zip", members))
    assert (refused, importer.format, len(records)) == ([], "asr", 40)
    assert all(record.media and 100 < (record.media[0].duration_ms or 0) < 5000 for record in records)
    back, refused, _ = bring_in(send_out(records, "asr", tmp_path))
    assert refused == []
    assert [loss.code for loss in losses("asr", statistics(records))] == ["sound_names"]
    renamed = [record.model_copy(update={"media": [item.model_copy(update={"name": None}) for item in record.media or []]})
               for record in (*records, *back)]  # fmt: skip
    assert renamed[:40] == renamed[40:]


def test_segments_become_rows_of_an_asr_manifest_and_come_back(tmp_path: Path) -> None:
    spoken = [{"id": "a", "start_ms": 0, "end_ms": 1500, "label": "speech", "text": "one"},
              {"id": "b", "start_ms": 1500, "end_ms": 2000, "label": "noise"}]  # fmt: skip
    record = Record(id="r", modality="audio", media=[Media(kind="audio", name="x.mp3")],
                    annotations=[Answer(q="segments", type="segments", value=spoken)])  # fmt: skip
    assert [loss.code for loss in losses("asr", statistics([record]))] == ["segment_rows"]
    with zipfile.ZipFile(send_out([record], "asr", tmp_path)) as archive:
        rows = [json.loads(line) for line in archive.read("manifest.jsonl").splitlines()]
    assert [(row["offset"], row["duration"], row["text"]) for row in rows] == [(0.0, 1.5, "one")]
    written = record.model_copy(update={"text": "one"})
    (back,), _, _ = bring_in(send_out([written], "asr", tmp_path))
    assert back.annotations == written.annotations


def test_members_that_lead_out_link_or_hide_are_refused_one_by_one(tmp_path: Path) -> None:
    """../ members, absolute paths, links: told, and nothing is written outside; good files come in."""
    path = tmp_path / "a.zip"
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good/1.jpg", picture(5, 5))
        archive.writestr("../evil.jpg", b"x")
        archive.writestr("/etc/evil.jpg", b"x")
        archive.writestr(link, "/etc/passwd")
        archive.writestr("__MACOSX/good/._1.jpg", b"junk")
        archive.writestr("page.html", b"<script>alert(1)</script>")
    records, refused, _ = bring_in(path)
    assert [record.id for record in records] == ["1.jpg"]
    assert [code for _, code in refused] == ["record.outside_archive", "record.outside_archive", "record.link_in_archive"]
    assert not (tmp_path.parent / "evil.jpg").exists()


def test_bombs_are_refused_before_they_unpack(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", b"\0" * (80 << 20))
    with pytest.raises(UserError) as caught:
        bring_in(path)
    assert caught.value.code == "dataset.archive_too_large"


def test_broken_archives_and_pictures_are_told(tmp_path: Path) -> None:
    whole = pack(tmp_path / "a.zip", {"1.jpg": picture(9, 9), "2.jpg": b"no picture", "3.svg": "<svg/>"})
    records, refused, _ = bring_in(whole)
    assert [record.id for record in records] == ["1.jpg", "3.svg"]
    assert refused == [("2.jpg: 2.jpg", "record.broken_picture")]
    half = tmp_path / "b.zip"
    half.write_bytes(whole.read_bytes()[:-30])
    with pytest.raises(UserError, match="not whole"):
        bring_in(half)
    with pytest.raises(UserError, match="no data file"):
        bring_in(pack(tmp_path / "c.zip", {"a.exe": "x"}))


def test_files_that_are_missing_or_exchanged_are_refused(tmp_path: Path) -> None:
    rows = json.dumps({"id": "1", "media": [{"kind": "image", "name": "no.jpg"}], "modality": "image"}) + "\n"
    rows += json.dumps({"id": "2", "media": [{"kind": "image", "name": "1.jpg", "sha256": "0" * 64}], "modality": "image"})
    _, refused, _ = bring_in(pack(tmp_path / "a.zip", {"records.jsonl": rows, "1.jpg": picture(9, 9)}))
    assert [code for _, code in refused] == ["record.no_media_file", "record.other_media"]


def test_chinese_names_of_old_archives_are_read(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"??????/1.jpg": picture(9, 9), "xx/2.jpg": picture(8, 8)})
    path.write_bytes(path.read_bytes().replace(b"??????", "小猫图".encode("gb18030")))
    records, refused, _ = bring_in(path)
    assert (refused, [record.label for record in records]) == ([], ["xx", "小猫图"])


def test_pictures_within_records_are_stored_as_files(tmp_path: Path) -> None:
    import base64

    url = "data:image/jpeg;base64," + base64.b64encode(picture(12, 6)).decode()
    content = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": url}}]
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "Red."}]}))
    (record,), refused, _ = bring_in(path)
    assert refused == []
    assert record.messages
    assert record.messages[0].content == "What?\n<image>"
    assert record.media
    item = record.media[0]
    assert (item.width, item.height, item.url) == (12, 6, None)
    assert (tmp_path / "media" / str(item.sha256)[:2] / str(item.sha256)).exists()


def test_preview_measures_and_stores_nothing(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"1.jpg": picture(30, 20)})
    found = preview(path)
    assert found["format"] == "folder"
    assert found["records"][0]["media"] == [{"kind": "image", "name": "1.jpg", "width": 30, "height": 20}]
    assert not (tmp_path / "media").exists()


def tar(members: dict[str, bytes]) -> bytes:
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_webdataset_samples_come_in_by_their_names(tmp_path: Path) -> None:
    members = {
        "a/1.jpg": picture(20, 10), "a/1.txt": b"A cat.", "a/1.cls": b"3", "a/1.json": b'{"source_url": "x"}',
        "a/2.jpg": b"no picture", "a/3.exe": b"x", "a/4.json": b'{"caption": "Only words"}',
    }  # fmt: skip
    path = tmp_path / "a.tar"
    path.write_bytes(tar(members))
    records, refused, importer = bring_in(path)
    assert importer.format == "webdataset"
    assert [(record.id, record.text, record.label, record.extra) for record in records] == [
        ("a/1", "A cat.", "3", {"source_url": "x"}), ("a/4", "Only words", None, {})
    ]  # fmt: skip
    assert records[0].media
    assert (records[0].media[0].name, records[0].media[0].width) == ("a/1.jpg", 20)
    assert refused == [("a/2", "record.broken_picture"), ("a/3", "record.unknown_member")]
    path.write_bytes(path.read_bytes()[:1000])
    records, refused, _ = bring_in(path)
    assert (records, refused) == ([], [("a/1", "record.broken_member"), ("a.tar", "dataset.broken_archive")])


def test_webdataset_carries_everything(tmp_path: Path) -> None:
    rows = json.dumps(EVERYTHING.model_dump(mode="json", exclude_none=True))
    records, _, _ = bring_in(pack(tmp_path / "in.zip", {"records.jsonl": rows, "dir/p.jpg": picture(80, 40)}))
    records.append(Record(id="words", text="only words", facets=Facets(language="en")))

    def stored(sha256: str) -> Path | None:
        return tmp_path / "media" / sha256[:2] / sha256

    path = tmp_path / "out.tar"
    path.write_bytes(b"".join(export(records, "webdataset", stored)))
    back, refused, _ = bring_in(path)
    assert (refused, back) == ([], records)
    assert losses("webdataset", statistics(records)) == []


def test_preview_of_a_huge_coco_file_reads_only_its_beginning(tmp_path: Path) -> None:
    images = [{"id": number, "file_name": f"{number}.jpg", "width": 9, "height": 9} for number in range(3)]
    label = {"image_id": 0, "category_id": 1, "bbox": [1, 1, 2, 2], "note": "x" * 900}
    path = tmp_path / "a.json"
    with path.open("w") as file:
        file.write(f'{{"images": {json.dumps(images)}, "categories": [{{"id": 1, "name": "cat"}}], "annotations": [')
        file.write(json.dumps(label))
        for _ in range(25_000):
            file.write("," + json.dumps(label))
        file.write("]}")
    found = preview(path)
    assert (found["format"], len(found["records"]), found["errors"]) == ("coco", 3, [])
    shown = found["records"][0]["annotations"][0]["value"]["regions"]
    assert 0 < len(shown) < 25_000
