"""Questions and records for each labelling tool, and the media that they show."""

import io
import math
import struct
import wave
import zlib
from typing import Any

CHOICES = [{"value": "good", "label": "Good"}, {"value": "bad", "label": "Bad"}]
RESPONSES = [
    {"id": "r1", "content": "Send it back within thirty days with the receipt. 请保留小票。", "model": "m-large"},
    {"id": "r2", "content": "No idea.", "model": "m-small"},
    {"id": "r3", "content": "Thirty days, and the postage is ours.", "model": "m-mid"},
]
TREE = [
    {
        "value": "animal",
        "label": "Animal 动物",
        "children": [{"value": "cat", "label": "Cat 猫"}, {"value": "dog", "label": "Dog 狗"}],
    },
    {
        "value": "plant",
        "label": "Plant 植物",
        "children": [{"value": "tree", "label": "Tree 树", "children": [{"value": "oak"}]}],
    },
]
CONVERSATION = [
    {"role": "system", "content": "You are the clerk of a bookshop."},
    {"role": "user", "content": "May I send a book back?"},
    {"role": "assistant", "content": "Yes, within ten days."},
    {"role": "user", "content": "And the postage?"},
    {"role": "assistant", "content": "You pay it."},
]
TRACE = [
    {"role": "user", "content": "How warm is it in Shanghai, in Fahrenheit?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": {"name": "weather", "arguments": '{"city": "上海"}'}, "id": "c1", "type": "function"}],
    },
    {"role": "tool", "content": "21 °C", "tool_call_id": "c1"},
    {"role": "assistant", "content": "", "tool_calls": [{"name": "search", "arguments": {"query": "Fahrenheit"}}]},
    {"role": "assistant", "content": "About 70 °F."},
]
ENTITIES = [
    {"value": "person", "label": "Person 人"},
    {"value": "place", "label": "Place 地"},
    {"value": "work", "label": "Work"},
]
KINDS = [{"value": "cat", "label": "Cat"}, {"value": "dog", "label": "Dog"}]
RECORD = {"id": "one", "modality": "text", "text": "A record."}
COMPARED = {"id": "c", "messages": CONVERSATION[:2], "responses": RESPONSES}
IMAGE = {"kind": "image", "sha256": "a" * 64, "name": "shapes.png", "width": 400, "height": 300, "src": "/media/shapes.png"}
SOUND = {"kind": "audio", "sha256": "b" * 64, "name": "tone.wav", "duration_ms": 4000, "src": "/media/tone.wav"}
FILM = {"kind": "video", "sha256": "c" * 64, "name": "film", "duration_ms": 4000, "src": "/media/tone.wav"}
CONVERSATION_RECORD = {"messages": CONVERSATION, "responses": RESPONSES}

Pair = tuple[list[dict[str, Any]], dict[str, Any]]
TOOLS: dict[str, Pair] = {
    "tree": ([{"name": "topic", "type": "tree", "label": "Topic", "nodes": TREE}], RECORD),
    "number": ([{"name": "age", "type": "number", "label": "Age", "min": 0, "max": 120, "step": 1}], RECORD),
    "rating": (
        [{"name": "stars", "type": "rating", "label": "How good?", "min": 1, "max": 5, "labels": ["poor", "", "", "", "great"]}],
        RECORD,
    ),
    "ranking": ([{"name": "order", "type": "ranking", "label": "Best first"}], COMPARED),
    "pairwise": ([{"name": "better", "type": "pairwise", "label": "Which is better?"}], {**COMPARED, "responses": RESPONSES[:2]}),
    "response_rating": (
        [
            {
                "name": "marks",
                "type": "response_rating",
                "label": "Rate the answers",
                "dimensions": [
                    {"name": "helpful", "label": "Helpful 有用", "min": 1, "max": 5},
                    {"name": "true", "label": "True", "min": 0, "max": 2},
                ],
            }
        ],
        {**COMPARED, "responses": RESPONSES[:2]},
    ),
    "when": (
        [
            {"name": "verdict", "type": "choice", "label": "Verdict", "choices": CHOICES},
            {"name": "why", "type": "text", "label": "Why is it bad?", "when": {"field": "verdict", "is": "bad"}},
        ],
        RECORD,
    ),
    "dialogue": (
        [
            {"name": "talk", "type": "dialogue", "label": "Mend the conversation"},
            {"name": "stars", "type": "rating", "label": "How good was it?", "required": False},
        ],
        {"id": "d", "messages": CONVERSATION},
    ),
    "trace": ([{"name": "calls", "type": "trace", "label": "Are the calls right?"}], {"id": "t", "messages": TRACE}),
    "spans": (
        [
            {"name": "entities", "type": "spans", "label": "Mark the names", "labels": ENTITIES, "overlap": True},
            {
                "name": "links",
                "type": "relations",
                "label": "What belongs together?",
                "spans": "entities",
                "labels": [{"value": "wrote", "label": "wrote"}, {"value": "lives", "label": "lives in"}],
                "required": False,
            },
        ],
        {"id": "s", "text": "👩🏽‍🚀 Lin Ying wrote 红楼梦 in Paris 😀.\nA second line."},
    ),
    "regions": (
        [
            {
                "name": "boxes",
                "type": "regions",
                "label": "Mark the animals",
                "labels": KINDS,
                "tools": ["box", "polygon", "point"],
            }
        ],
        {"id": "i", "modality": "image", "media": [IMAGE]},
    ),
    "segments": (
        [{"name": "speech", "type": "segments", "label": "Who speaks?", "labels": KINDS, "transcribe": True, "media": "audio"}],
        {"id": "a", "modality": "audio", "media": [SOUND]},
    ),
    "video": (
        [
            {"name": "scenes", "type": "segments", "label": "Scenes", "labels": KINDS, "media": "video"},
            {"name": "moments", "type": "frames", "label": "Moments", "labels": [{"value": "goal", "label": "Goal"}]},
        ],
        {"id": "v", "modality": "video", "media": [FILM]},
    ),
}


def schema(tool: str) -> dict[str, Any]:
    return {"fields": [{"required": True, **field} for field in TOOLS[tool][0]]}


def records(tool: str) -> list[dict[str, Any]]:
    return [{**TOOLS[tool][1], "id": f"{tool}{number}"} for number in range(1, 4)]


def picture() -> bytes:
    """A PNG of 400 × 300 with two blocks."""
    rows = bytearray()
    for y in range(300):
        rows.append(0)
        for x in range(400):
            inside = (50 <= x < 200 and 40 <= y < 120) or (240 <= x < 350 and 150 <= y < 260)
            rows += b"\xc8\x55\x3d" if inside else b"\xf2\xee\xe4"

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 400, 300, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(rows))) + chunk(b"IEND", b"")


def sound() -> bytes:
    """Four seconds of a tone that swells and fades, 8 kHz, mono."""
    samples = [int(12000 * math.sin(i / 4) * abs(math.sin(i / 5000))) for i in range(32_000)]
    kept = io.BytesIO()
    with wave.open(kept, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return kept.getvalue()


MEDIA = {"shapes.png": ("image/png", picture), "tone.wav": ("audio/wav", sound)}
