"""Question-answer pairs of the shop, tool calls and multiple choice, drawn from the world with a seed.

Which entity combinations are held out is decided by a hash of intent, language and entities, so training data of any
size never contains one of them (for intents with few entities the question form belongs to the key as well).
"""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from workers.spec.record import Facets, Message, Record
from workers.starter.intents import Intent
from workers.starter.more_intents import INTENTS
from workers.starter.shop import LANGUAGES, SHOP, World

HELD_OUT_ONE_IN = 6
FEW_ENTITIES = {"day", "method"}
TELL_STOCK = {"stock", "introduction", "shelf"}
"""Intents with one answer for what is in stock and another for what is not."""
OPENINGS = {"zh": ("", "", "你好,"), "en": ("", "", "Hi! ", "Hello. ")}
QUESTION_OPENINGS = {"zh": ("请问", "麻烦问一下,"), "en": ("Excuse me. ", "Good morning. ")}
ENDINGS = {"zh": ("", "", "", "谢谢。"), "en": ("", "", "", " Thanks.", " Thank you.")}


def _tool(name: str, argument: str) -> dict[str, Any]:
    """An OpenAI tool with one text argument, as short as the format allows: the starter's context is short."""
    parameters = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [_tool("get_weather", "city"), _tool("get_order", "order_id"), _tool("calculate", "expression")]
TOOL_FORMS: dict[str, dict[str, tuple[str, ...]]] = {
    "get_weather": {
        "zh": ("{city}今天天气怎么样?", "{city}会下雨吗?", "查一下{city}的天气。", "{city}冷不冷?", "去{city}要带伞吗?"),
        "en": (
            "What is the weather like in {city}?",
            "Will it rain in {city}?",
            "Check the weather in {city}.",
            "Is it cold in {city}?",
            "Do I need an umbrella in {city}?",
        ),
    },
    "get_order": {
        "zh": ("查询订单{order}。", "订单{order}现在怎么样了?", "帮我看看订单{order}。", "订单{order}到哪里了?"),
        "en": (
            "Look up order {order}.",
            "What happened to order {order}?",
            "Show me order {order}.",
            "Where is order {order} now?",
        ),
    },
    "calculate": {
        "zh": ("{a}{sign}{b}等于多少?", "请计算{a}{sign}{b}。", "{a}{word}{b}是多少?"),
        "en": ("What is {a} {sign} {b}?", "Please work out {a} {sign} {b}.", "How much is {a} {word} {b}?"),
    },
}
SIGNS = {"+": {"zh": "加", "en": "plus"}, "-": {"zh": "减", "en": "minus"}, "*": {"zh": "乘", "en": "times"}}


@dataclass(frozen=True)
class Pair:
    """One question with its answer; `core` is the question without greeting and thanks."""

    intent: str
    language: str
    core: str
    question: str
    answer: str
    held_out: bool


def is_held_out(*key: str) -> bool:
    """The fixed split: the same key always falls on the same side."""
    return hashlib.sha256("|".join(key).encode()).digest()[0] % HELD_OUT_ONE_IN == 0


def draw_values(intent: Intent, world: World, rng: random.Random, language: str) -> tuple[dict[str, str], str]:
    """Choose entities for the intent's slots; returns every text to fill in (slots and facts), and the answer's case."""
    values: dict[str, str] = {}
    case = ""
    for slot in intent.slots:
        match slot:
            case "product":
                product = rng.choice(world.products)
                values |= {"product": product.name.of(language), "price": str(product.price)}
                values |= {"months": str(product.months), "restock": str(product.restock)}
                if intent.name in TELL_STOCK:
                    case = "no" if product.restock else "yes"
            case "other_product":
                other = rng.choice([product for product in world.products if product.name.of(language) != values["product"]])
                values |= {"other_product": other.name.of(language), "other_price": str(other.price)}
            case "city":
                city = rng.choice(world.cities)
                values |= {"city": city.name.of(language), "days": str(city.days)}
            case "other_city":
                other_city = rng.choice([city for city in world.cities if city.name.of(language) != values["city"]])
                values |= {"other_city": other_city.name.of(language), "other_days": str(other_city.days)}
            case "day":
                day = rng.choice(world.days)
                values |= {"day": day.name.of(language), "opens": str(day.opens), "closes": str(day.closes)}
            case "method":
                method = rng.choice(world.methods)
                values["method"] = method.name.of(language)
                case = "yes" if method.accepted else "no"
            case "colour":
                values["colour"] = rng.choice(world.colours).of(language)
            case "order":
                values["order"] = str(rng.randint(1000, 9999))
    return values, case


def dress(question: str, language: str, rng: random.Random) -> str:
    """Add a greeting before and thanks after, sometimes."""
    openings = OPENINGS[language] + (QUESTION_OPENINGS[language] if question[-1] in "??" else ())
    return rng.choice(openings) + question + rng.choice(ENDINGS[language])


def draw_pair(intent: Intent, world: World, rng: random.Random, language: str) -> Pair:
    values, case = draw_values(intent, world, rng, language)
    wording = intent.wording(language)
    form = rng.randrange(len(wording.questions))
    key = [intent.name, language, *(values[slot] for slot in intent.slots)]
    if FEW_ENTITIES & set(intent.slots):
        key.append(str(form))
    core = wording.questions[form].format(**values)
    answer = wording.answer[case].format(**values)
    return Pair(intent.name, language, core, dress(core, language, rng), answer, is_held_out(*key))


def draw_tool_call(tool: str, world: World, rng: random.Random, language: str) -> Pair:
    """A question and the JSON arguments of the call that answers it; `intent` is the tool's name."""
    form = rng.choice(TOOL_FORMS[tool][language])
    if tool == "get_weather":
        city = rng.choice(world.cities).name.of(language)
        arguments, question = {"city": city}, form.format(city=city)
    elif tool == "get_order":
        order = str(rng.randint(1000, 9999))
        arguments, question = {"order_id": order}, form.format(order=order)
    else:
        a, b, sign = rng.randint(2, 99), rng.randint(2, 99), rng.choice(sorted(SIGNS))
        arguments = {"expression": f"{a} {sign} {b}"}
        question = form.format(a=a, b=b, sign=sign, word=SIGNS[sign][language])
    answer = json.dumps(arguments, ensure_ascii=False)
    key = [tool, language, *arguments.values(), *([form] if tool == "get_weather" else [])]
    return Pair(tool, language, question, dress(question, language, rng), answer, is_held_out(*key))


def _unlike(candidates: Iterator[Pair], count: int, *, held_out: bool, dressed: bool) -> list[Pair]:
    """The first `count` candidates on one side of the split, no question twice; `dressed`: a greeting makes it another."""
    chosen: dict[str, Pair] = {}
    for pair in candidates:
        question = pair.question if dressed else pair.core
        if pair.held_out == held_out and question not in chosen:
            chosen[question] = pair
            if len(chosen) == count:
                break
    return list(chosen.values())


def shop_pairs(
    count: int,
    *,
    seed: int,
    held_out: bool,
    dressed: bool = False,
    world: World = SHOP,
    intents: tuple[Intent, ...] = INTENTS,
) -> list[Pair]:
    """Up to `count` different questions, intents and languages in equal shares, in shuffled order."""
    rng = random.Random(f"shop-{seed}-{held_out}")
    cells = [(intent, language) for intent in intents for language in LANGUAGES]
    shares = [count // len(cells) + (index < count % len(cells)) for index in range(len(cells))]
    pairs: list[Pair] = []
    for (intent, language), share in zip(cells, shares, strict=True):
        candidates = (draw_pair(intent, world, rng, language) for _ in range(100 * share + 400))
        pairs += _unlike(candidates, share, held_out=held_out, dressed=dressed)
    rng.shuffle(pairs)
    return pairs


def tool_pairs(count: int, *, seed: int, held_out: bool, dressed: bool = False, world: World = SHOP) -> list[Pair]:
    """`count` different questions. Held out, each tool has an equal share; in training, calculations have half of all,
    because they vary most (two numbers and a sign)."""
    rng = random.Random(f"tools-{seed}-{held_out}")
    tools = ("calculate", "get_order", "get_weather") if held_out else ("calculate", "calculate", "get_order", "get_weather")
    if not held_out:
        candidates = (draw_tool_call(rng.choice(tools), world, rng, rng.choice(LANGUAGES)) for _ in range(100 * count + 400))
        return _unlike(candidates, count, held_out=held_out, dressed=dressed)
    pairs: list[Pair] = []
    for index, tool in enumerate(tools):
        share = count // len(tools) + (index < count % len(tools))
        candidates = (draw_tool_call(tool, world, rng, rng.choice(LANGUAGES)) for _ in range(100 * share + 400))
        pairs += _unlike(candidates, share, held_out=held_out, dressed=dressed)
    rng.shuffle(pairs)
    return pairs


def facets(domain: str, language: str) -> Facets:
    return Facets(source="shuyuan-starter", domain=domain, language=language, licence="CC0-1.0")


def talk(record: Record, others: Sequence[Record]) -> Record:
    """One conversation of several: their turns in a row, with the first one's id, tools, label and facets."""
    messages = [message for item in (record, *others) for message in item.messages or ()]
    return record.model_copy(update={"messages": messages})


def shop_record(identifier: str, pair: Pair) -> Record:
    messages = [Message(role="user", content=pair.question), Message(role="assistant", content=pair.answer)]
    return Record(id=identifier, messages=messages, label=pair.intent, facets=facets("customer-service", pair.language))


def tool_record(identifier: str, pair: Pair) -> Record:
    call = {"id": "call_0", "type": "function", "function": {"name": pair.intent, "arguments": pair.answer}}
    messages = [Message(role="user", content=pair.question), Message(role="assistant", tool_calls=[call])]
    return Record(
        id=identifier,
        messages=messages,
        tools=TOOLS,
        label=pair.intent,
        facets=facets("tool-calls", pair.language),
    )


def choice_record(identifier: str, pair: Pair, rng: random.Random, world: World = SHOP) -> Record:
    """Four answers in the shop's voice: the right one, and three to other questions (same intent first)."""
    intent = next(item for item in INTENTS if item.name == pair.intent)
    choices = [pair.answer]
    while len(choices) < 4:
        other = intent if len(choices) < 3 else rng.choice(INTENTS)
        answer = draw_pair(other, world, rng, pair.language).answer
        if answer not in choices:
            choices.append(answer)
    rng.shuffle(choices)
    return Record(
        id=identifier,
        text=pair.question,
        choices=choices,
        answer=choices.index(pair.answer),
        facets=facets("customer-service", pair.language),
    )
