"""What visitors of the shop type beside the exam's questions: more wordings of the known intents, facts side by side, and general
questions that name nothing (“When do you open?”). The shipped tuned model learns them; exams and demo datasets do not use them.

More wordings keep their intent's name, so that what is held out stays held out in them too. Facts are told in sentences of their
own, never in an exam answer's.
"""

import random
from dataclasses import replace
from itertools import cycle, islice

from workers.starter import intents, more_intents
from workers.starter.dialogues import Pair, draw_pair
from workers.starter.general import FAREWELL, GENERAL, GREETING
from workers.starter.intents import Intent, Wording, only
from workers.starter.shop import LANGUAGES, World

DROPPED = "?？。."
FULL_WIDTH = str.maketrans({"?": "？", ",": "，", "!": "！"})


def typed(question: str, language: str, rng: random.Random) -> str:
    """As people type: Chinese often with full-width marks, any language sometimes without the last mark or the first capital."""
    if language == "zh" and rng.random() < 0.4:
        question = question.translate(FULL_WIDTH)
    if language == "en" and rng.random() < 0.15:
        question = question[0].lower() + question[1:]
    return question.rstrip(DROPPED) if rng.random() < 0.15 else question


def _said(intent: Intent, zh: tuple[str, ...], en: tuple[str, ...]) -> Intent:
    return replace(intent, zh=replace(intent.zh, questions=zh), en=replace(intent.en, questions=en))


REWORDED = (
    _said(
        intents.OPENING_HOURS,
        ("{day}开门吗?", "{day}几点关门?", "{day}什么时候开门?", "{day}上班吗?", "{day}营业到几点?", "你们{day}几点开门?"),
        (
            "Are you open {day}?",
            "What time do you open on {day}?",
            "What time do you close on {day}?",
            "Is the shop open on {day}?",
            "What are your hours on {day}?",
            "When do you close on {day}?",
        ),
    ),
    _said(
        intents.DELIVERY,
        ("到{city}要多久?", "发{city}几天能到?", "{city}几天到?", "你们发货到{city}吗?", "{city}能送吗?", "寄{city}要多久?"),
        (
            "How long does shipping to {city} take?",
            "Do you ship to {city}?",
            "Do you deliver to {city}?",
            "How long to {city}?",
            "How many days to {city}?",
            "When will it arrive in {city}?",
        ),
    ),
    _said(
        intents.RETURNS,
        (
            "{product}能退吗?",
            "怎么退{product}?",
            "我要退{product}。",
            "{product}可以退吗?",
            "{product}能退货吗?",
            "想退{product}怎么办?",
        ),
        (
            "How can I return the {product}?",
            "I want to return the {product}.",
            "Can I send the {product} back?",
            "Can I get a refund for the {product}?",
            "May I return my {product}?",
            "Is it possible to return the {product}?",
        ),
    ),
    _said(
        intents.EXCHANGE,
        ("{product}换{colour}可以吗?", "我要换{colour}的{product}。", "{product}能换{colour}吗?"),
        (
            "Can I swap the {product} for {colour}?",
            "I would like the {product} in {colour}.",
            "Can I change my {product} to {colour}?",
        ),
    ),
    _said(
        intents.WARRANTY,
        ("{product}坏了怎么办?", "{product}保修几个月?", "{product}的保修期多长?", "{product}保修吗?"),
        (
            "What is the warranty on the {product}?",
            "My {product} is broken. What can I do?",
            "Is there a warranty on the {product}?",
            "Do you repair the {product}?",
        ),
    ),
    _said(
        intents.INVOICE,
        ("给订单{order}开张发票。", "订单{order}可以开发票吗?", "我要订单{order}的发票。"),
        ("Invoice for order {order}, please.", "Can I get an invoice for order {order}?", "I want an invoice for order {order}."),
    ),
    _said(
        more_intents.PAYMENT,
        ("可不可以用{method}?", "你们支持{method}吗?", "能用{method}付款吗?", "可以用{method}吗?", "{method}可以吗?"),
        ("Can I use {method}?", "Can I pay with {method}?", "Do you support {method}?", "Is {method} possible?"),
    ),
    _said(
        more_intents.STOCK,
        (
            "{product}有没有货?",
            "{product}有现货吗?",
            "还有没有{product}?",
            "有{product}吗?",
            "你们有{product}吗?",
            "{product}缺货吗?",
        ),
        (
            "Do you have the {product}?",
            "Is the {product} still available?",
            "Is the {product} there?",
            "Do you have the {product} in stock?",
            "Can I get the {product} now?",
        ),
    ),
    _said(
        more_intents.PRICE,
        (
            "{product}什么价?",
            "{product}多少元?",
            "{product}的价钱是多少?",
            "{product}价格多少?",
            "{product}卖多少钱?",
            "一个{product}多少钱?",
        ),
        (
            "How much does the {product} cost?",
            "What's the price of the {product}?",
            "How much is a {product}?",
            "Price of the {product}?",
            "How much for the {product}?",
            "What is the cost of the {product}?",
        ),
    ),
    _said(
        more_intents.ORDER_STATUS,
        ("查一下订单{order}。", "订单{order}在哪?", "我的订单{order}到哪了?", "订单{order}发货了没有?"),
        (
            "Where is order {order}?",
            "Track order {order}.",
            "What is the status of order {order}?",
            "Has my order {order} shipped?",
        ),
    ),
    _said(
        more_intents.CANCEL_ORDER,
        ("取消订单{order}。", "订单{order}能取消吗?", "我不要订单{order}了。", "请取消订单{order}。"),
        ("Cancel order {order}.", "Please cancel order {order}.", "I do not want order {order} any more."),
    ),
    _said(
        more_intents.GIFT_WRAP,
        ("{product}能包装吗?", "{product}可以包装一下吗?", "{product}送人能包一下吗?"),
        ("Can you gift-wrap the {product}?", "Do you gift-wrap the {product}?", "Can I have the {product} gift-wrapped?"),
    ),
)

INTRODUCTION = Intent(
    "introduction",
    ("product",),
    Wording(
        ("介绍一下{product}。", "{product}怎么样?", "说说{product}。", "我想了解{product}。", "{product}好吗?"),
        {
            "yes": "这是{product}:卖{price}元,质保{months}个月,货架上有。",
            "no": "这是{product}:卖{price}元,质保{months}个月,再等{restock}天才有。",
        },
        {},
    ),
    Wording(
        (
            "Tell me about the {product}.",
            "What can you say about the {product}?",
            "I am looking at the {product}.",
            "Describe the {product}.",
        ),
        {
            "yes": "This is the {product}: it costs {price} yuan, is guaranteed for {months} months and is on the shelf.",
            "no": "This is the {product}: it costs {price} yuan, is guaranteed for {months} months and comes in {restock} days.",
        },
        {},
    ),
)

TWO_PRICES = Intent(
    "two_prices",
    ("product", "other_product"),
    Wording(
        ("{product}和{other_product}哪个便宜?", "{product}和{other_product}哪个贵?", "{product}和{other_product}各多少钱?"),
        {"": "{product}卖{price}元,{other_product}卖{other_price}元。"},
        {},
    ),
    Wording(
        (
            "Which is cheaper, the {product} or the {other_product}?",
            "How much are the {product} and the {other_product}?",
            "Is the {product} more expensive than the {other_product}?",
        ),
        {"": "The {product} sells for {price} yuan and the {other_product} for {other_price} yuan."},
        {},
    ),
)

TWO_CITIES = Intent(
    "two_cities",
    ("city", "other_city"),
    Wording(
        ("寄{city}和{other_city}哪个快?", "{city}和{other_city}各要几天?", "{city}近还是{other_city}近?"),
        {"": "包裹到{city}走{days}天,到{other_city}走{other_days}天。"},
        {},
    ),
    Wording(
        (
            "Which is faster, {city} or {other_city}?",
            "How long do parcels take to {city} and {other_city}?",
            "Is {city} nearer than {other_city}?",
        ),
        {"": "A parcel travels {days} days to {city} and {other_days} days to {other_city}."},
        {},
    ),
)


def _note(name: str, slots: tuple[str, ...], zh: tuple[str, ...], noted_zh: str, en: tuple[str, ...], noted_en: str) -> Intent:
    return Intent(name, slots, Wording(zh, only(noted_zh), {}), Wording(en, only(noted_en), {}))


NOTES = (
    _note(
        "tag",
        ("product",),
        ("念一下{product}的标签。", "{product}的标签上写着什么?", "{product}的标签。"),
        "标签:{product},{price}元。",
        ("Read the label of the {product}.", "What is on the label of the {product}?", "The label of the {product}."),
        "Label: {product}, {price} yuan.",
    ),
    _note(
        "repair_card",
        ("product",),
        ("念一下{product}的保修卡。", "{product}的保修卡上写着什么?", "{product}的保修卡。"),
        "保修卡:{product},{months}个月。",
        ("Read the card of the {product}.", "What is on the card of the {product}?", "The card of the {product}."),
        "Card: {product}, {months} months.",
    ),
    _note(
        "route",
        ("city",),
        ("念一下{city}的路线。", "{city}的路线上写着什么?", "{city}的路线。"),
        "路线:{city},{days}天。",
        ("Read the route of {city}.", "What is on the route of {city}?", "The route of {city}."),
        "Route: {city}, {days} days.",
    ),
    _note(
        "painted",
        ("product", "colour"),
        ("画一个{colour}的{product}。", "把{product}画成{colour}。", "{product}要画{colour}的。"),
        "画好了,{product}是{colour}。",
        ("Paint the {product} {colour}.", "Draw a {colour} {product}.", "Make the {product} {colour} in the picture."),
        "Painted: {product}, {colour}.",
    ),
)
"""Single facts and pairs read out. A thing, city or colour whose combination is held out is so found in some answer: where it
never was, the model learnt that it is never said, and answered with another one."""

SHELF = Intent(
    "shelf",
    ("product",),
    Wording(
        ("看一下放{product}的货架。", "{product}的货架上写着什么?", "{product}的货架。"),
        {"yes": "货架:{product},有。", "no": "货架:{product},再等{restock}天。"},
        {},
    ),
    Wording(
        ("Look at the shelf of the {product}.", "What is on the shelf of the {product}?", "The shelf of the {product}."),
        {"yes": "Shelf: {product}, there.", "no": "Shelf: {product}, in {restock} days."},
        {},
    ),
)

UNDRESSED = {GREETING.name, FAREWELL.name}
"""Who only greets or thanks says nothing else: no greeting before, no thanks after."""
FACTS = (INTRODUCTION, TWO_PRICES, TWO_CITIES, SHELF, *NOTES)


def _drawn(count: int, among: tuple[Intent, ...], world: World, rng: random.Random) -> list[Pair]:
    """Pairs of all intents in equal shares, a half in each language; the split does not concern them."""
    cells = [(intent, language) for intent in among for language in LANGUAGES]
    pairs = [draw_pair(intent, world, rng, language) for intent, language in islice(cycle(cells), count)]
    return [replace(pair, question=pair.core) if pair.intent in UNDRESSED else pair for pair in pairs]


def everyday_pairs(facts: int, general: int, *, seed: int, world: World) -> list[Pair]:
    """Facts of the whole world, told otherwise than the exam asks for them, and questions that name nothing."""
    rng = random.Random(f"everyday-{seed}")
    return _drawn(facts, FACTS, world, rng) + _drawn(general, GENERAL, world, rng)
