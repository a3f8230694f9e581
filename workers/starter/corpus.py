"""The pre-training corpus: short passages in Chinese and English, drawn with a seed.

Three things are on purpose. Passages repeat their entities, because copying is the hard part for a small model.
The shop's facts and its customers' questions occur in prose and in counter talk, never in the chat service's wording,
so that the base knows the world and still cannot do the task. And a fifth of the records are conversations about
something else (reading, repeating, sorting, translating), so that the chat tokens are trained before any fine-tuning.
"""

import json
import random
import re
from collections.abc import Callable, Iterator

from workers.spec.record import Message, Record, Role
from workers.starter import vocabulary as words
from workers.starter.dialogues import SIGNS, draw_values, dress, facets, is_held_out
from workers.starter.everyday import typed
from workers.starter.more_intents import ENGRAVING, INTENTS
from workers.starter.shop import LANGUAGES, SHOP_NAME, Name, World

Turns = list[tuple[Role, str]]
TOLD = (*INTENTS, ENGRAVING)


def product_sheet(world: World, rng: random.Random, language: str) -> str:
    """A product with its facts; the name stands in every sentence."""
    product = rng.choice(world.products)
    name, colour = product.name.of(language), rng.choice(world.colours).of(language)
    if language == "zh":
        facts = [
            f"{name}卖{product.price}元。",
            f"{name}的价格是{product.price}元。",
            f"{name}保修{product.months}个月。",
            f"{name}有{colour}。",
            f"{name}还有货。" if not product.restock else f"{name}缺货,要等{product.restock}天。",
            f"{SHOP_NAME.zh}的{name}很受欢迎。",
        ]
    else:
        stock = "is on the shelf" if not product.restock else f"is sold out for {product.restock} days"
        facts = [
            f"The {name} costs {product.price} yuan.",
            f"{product.price} yuan is the price of the {name}.",
            f"The {name} has {product.months} months of warranty.",
            f"The {name} comes in {colour}.",
            f"The {name} {stock}.",
            f"Many people at {SHOP_NAME.en} like the {name}.",
        ]
    rng.shuffle(facts)
    return ("" if language == "zh" else " ").join(facts[: rng.randint(3, 5)])


def city_sheet(world: World, rng: random.Random, language: str) -> str:
    """Some cities and weekdays with their facts."""
    lines = []
    for city in rng.sample(world.cities, 2):
        name = city.name.of(language)
        lines.append(
            f"{name}的包裹走{city.days}天,寄到{name}要{city.days}天。"
            if language == "zh"
            else f"A parcel to {name} takes {city.days} days. In {name} people wait {city.days} days."
        )
    day = rng.choice(world.days)
    name = day.name.of(language)
    lines.append(
        f"{name}店里{day.opens}点开门,{name}{day.closes}点关门。"
        if language == "zh"
        else f"On {name} the doors open at {day.opens}:00. On {name} they close at {day.closes}:00."
    )
    rng.shuffle(lines)
    return ("" if language == "zh" else " ").join(lines)


def handbook(world: World, rng: random.Random, language: str) -> str:
    """Rules for the shop's staff: the words of its answers, told of things and not to a customer."""
    product, colour = rng.choice(world.products), rng.choice(world.colours).of(language)
    name, order, city = product.name.of(language), rng.randint(1000, 9999), rng.choice(world.cities)
    day, method = rng.choice(world.days), rng.choice(world.methods)
    if language == "zh":
        stock = f"{name}暂时缺货,{product.restock}天后到货" if product.restock else f"{name}有现货,今天下单今天发货"
        paid = f"可以用{method.name.zh}付款" if method.accepted else f"暂时不支持{method.name.zh},请客人用微信支付或支付宝"
        rules = [
            f"手册:{day.name.zh}的营业时间是{day.opens}点到{day.closes}点。",
            f"手册:寄到{city.name.zh}需要{city.days}天,满99元包邮。",
            f"手册:{name}签收后7天内可以退货,包装要保持完好。",
            f"手册:{name}在15天内寄回,可以换成{colour}。",
            f"手册:{name}保修{product.months}个月,保修期内免费维修。",
            f"手册:订单{order}的电子发票在24小时内发到邮箱。",
            f"手册:{paid}。",
            f"手册:{stock}。",
            f"手册:{name}的价格是{product.price}元,欢迎选购。",
            f"手册:在“我的订单”里可以查看订单{order}的物流。",
            f"手册:订单{order}发货前可以取消,退款3天内到账。",
            f"手册:{name}可以免费包成礼物,附一张贺卡。",
        ]
        return "".join(rng.sample(rules, 2))
    stock = f"sold out and back in {product.restock} days" if product.restock else "in stock and ships today"
    paid = "accepted, and goods ship on the same day" if method.accepted else "not accepted; use WeChat Pay or Alipay"
    rules = [
        f"Rule: The shop is open from {day.opens}:00 to {day.closes}:00 on {day.name.en}.",
        f"Rule: Delivery to {city.name.en} takes {city.days} days and is free from 99 yuan.",
        f"Rule: The {name} can be returned in its original packaging within 7 days.",
        f"Rule: Within 15 days we can exchange the {name} for {colour}.",
        f"Rule: A warranty of {product.months} months with free repair is on the {name}.",
        f"Rule: The invoice for order {order} is in the mailbox within 24 hours.",
        f"Rule: Payment by {method.name.en} is {paid}.",
        f"Rule: The {name} is {stock}.",
        f"Rule: The price of the {name} is {product.price} yuan.",
        f"Rule: To follow order {order}, see the page My Orders.",
        f"Rule: Before order {order} ships one can cancel it, and the refund takes 3 days.",
        f"Rule: We gift-wrap the {name} for free with a greeting card.",
    ]
    return " ".join(rng.sample(rules, 2))


def counter_talk(world: World, rng: random.Random, language: str) -> str:
    """Customers and a clerk at the counter: the questions of the demo data, answered in other words."""
    customer, clerk = ("顾客", "店员") if language == "zh" else ("Customer", "Clerk")
    colon = ":" if language == "zh" else ": "
    lines = []
    for _ in range(rng.randint(2, 3)):
        intent = rng.choice(TOLD)
        values, case = draw_values(intent, world, rng, language)
        wording = intent.wording(language)
        question = typed(dress(rng.choice(wording.questions).format(**values), language, rng), language, rng)
        lines += [f"{customer}{colon}{question}", f"{clerk}{colon}{rng.choice(wording.plain[case]).format(**values)}"]
    return "\n".join(lines)


def _story(world: World, rng: random.Random, language: str) -> tuple[str, list[tuple[str, str]]]:
    """Two or three people, each with a thing and a place; also (question, answer) pairs about them."""
    sentences, questions = [], []
    people = rng.sample(words.PEOPLE, rng.randint(2, 3))
    goods = (*words.THINGS, *(product.name for product in world.products))
    for person in people:
        who, thing = person.of(language), rng.choice(goods).of(language)
        action, place = rng.choice(words.ACTIONS).of(language), rng.choice(words.PLACES).of(language)
        city, number = rng.choice(world.cities).name.of(language), rng.randint(1000, 9999)
        colour = rng.choice(world.colours).of(language)
        if language == "zh":
            sentences.append(f"{who}住在{city},在{place}{action}{colour}的{thing},号码是{number}。")
            questions += [
                (f"{who}{action}什么?", f"{who}{action}{colour}的{thing}。"),
                (f"{who}住在哪里?", f"{who}住在{city}。"),
                (f"{who}的号码是多少?", f"{who}的号码是{number}。"),
                (f"号码{number}是谁的?", f"号码{number}是{who}的。"),
                (f"{thing}是什么颜色?", f"{thing}是{colour}。"),
            ]
        else:
            sentences.append(f"{who} from {city} {action} the {colour} {thing} at the {place} with number {number}.")
            questions += [
                (f"What was it that {who} {action}?", f"{who} {action} the {colour} {thing}."),
                (f"Where is {who} from?", f"{who} is from {city}."),
                (f"What number does {who} have?", f"{who} has number {number}."),
                (f"Who has number {number}?", f"Number {number} is with {who}."),
                (f"What colour is the {thing}?", f"The {thing} is {colour}."),
            ]
    return ("" if language == "zh" else " ").join(sentences), questions


def story(world: World, rng: random.Random, language: str) -> str:
    """A story that is told, then told again in answers."""
    text, questions = _story(world, rng, language)
    told = rng.sample(questions, 3)
    space = "" if language == "zh" else " "
    return text + space + space.join(answer for _, answer in told)


def goods_and_places(world: World) -> list[Name]:
    return [*(product.name for product in world.products), *(city.name for city in world.cities)]


def codes(world: World, rng: random.Random, language: str) -> str:
    """A list of things with codes, then the same list in another order: nothing but copying helps here."""
    goods = [item.name for item in rng.sample(world.products, 2)] + [item.name for item in rng.sample(world.cities, 2)]
    entries = []
    for item in goods:
        code = "".join(rng.choice("ABCDEFGHKMNPRSTUWXYZ0123456789") for _ in range(rng.randint(3, 5)))
        entries.append(f"{item.of(language)} {code}")
    again = rng.sample(entries, len(entries))
    return "\n".join([*entries, *again])


def echo(world: World, rng: random.Random, language: str) -> str:
    """A senseless row of words and digits, two or three times over: the purest exercise in copying."""
    pool: list[Name] = [*words.THINGS, *words.PEOPLE, *words.PLACES, *world.colours]
    pool += goods_and_places(world)
    row = [str(rng.randint(10, 9999)) if rng.random() < 0.25 else rng.choice(pool).of(language) for _ in range(rng.randint(4, 9))]
    text = ("" if language == "zh" and rng.random() < 0.5 else " ").join(row)
    return "\n".join([text] * rng.randint(2, 3))


def note(world: World, rng: random.Random, language: str) -> str:
    """A sentence and the same as JSON."""
    person, city = rng.choice(words.PEOPLE).of(language), rng.choice(world.cities).name.of(language)
    product, number = rng.choice(world.products).name.of(language), str(rng.randint(1000, 9999))
    a, b, sign = rng.randint(2, 99), rng.randint(2, 99), rng.choice("+-*")
    choices = [
        ({"person": person, "city": city}, f"{person}在{city}", f"{person} is in {city}"),
        ({"item": product, "number": number}, f"{product},{number}号", f"{product}, number {number}"),
        ({"sum": f"{a} {sign} {b}"}, f"算式{a}{sign}{b}", f"the sum {a} {sign} {b}"),
        ({"name": product, "details": {"number": number}}, f"{number}号{product}", f"{number} is the {product}"),
    ]
    data, zh, en = rng.choice(choices)
    return f"{zh if language == 'zh' else en}\n{json.dumps(data, ensure_ascii=False)}"


def tool_manual(world: World, rng: random.Random, language: str) -> str:
    """What a tool's description looks like in JSON, and a call of it."""
    verb, what, argument = rng.choice(words.TOOL_VERBS), rng.choice(words.TOOL_OBJECTS), rng.choice(words.TOOL_ARGUMENTS)
    name = f"{verb}_{what}"
    value = rng.choice(goods_and_places(world)).of(language)
    parameters = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    tool = {"type": "function", "function": {"name": name, "parameters": parameters}}
    call = {"name": name, "arguments": {argument: value}}
    return f"{json.dumps(tool, ensure_ascii=False)}\n{value}\n{json.dumps(call, ensure_ascii=False)}"


def bank_talk(world: World, rng: random.Random, language: str) -> str:
    """What customers of a bank say: everyday English beyond the shop."""
    lines = []
    for _ in range(rng.randint(2, 4)):
        lines.append(
            rng.choice(words.BANK_SENTENCES).format(
                card=rng.choice(words.BANK_CARDS),
                account=rng.choice(words.BANK_ACCOUNTS),
                money=rng.choice(words.BANK_MONEY),
                place=rng.choice(words.BANK_PLACES),
                state=rng.choice(words.BANK_STATES),
                currency=rng.choice(words.CURRENCIES),
                amount=rng.choice((5, 10, 20, 30, 50, 100, 500)),
            )
        )
    return " ".join(lines)


def reading(world: World, rng: random.Random, language: str) -> Turns:
    """A story as the user's text, one or two questions about it."""
    text, questions = _story(world, rng, language)
    (first, answer), (second, next_answer) = rng.sample(questions, 2)
    space = "" if language == "zh" else " "
    turns: Turns = [("user", text + space + first), ("assistant", answer)]
    if rng.random() < 0.5:
        turns += [("user", second), ("assistant", next_answer)]
    return turns


def repeating(world: World, rng: random.Random, language: str) -> Turns:
    """Words and numbers to say again, with or without an order to do so in the system message."""
    pool: list[Name] = [*words.THINGS, *words.PEOPLE, *goods_and_places(world)]
    items = [item.of(language) for item in rng.sample(pool, rng.randint(1, 3))]
    if rng.random() < 0.5:
        items.append(str(rng.randint(1000, 9999)))
    text = ("、" if language == "zh" else ", ").join(items)
    asked = f"请重复:{text}" if language == "zh" else f"Say again: {text}"
    if rng.random() < 0.3:
        system = "重复用户的话。" if language == "zh" else "Repeat what the user says."
        return [("system", system), ("user", text), ("assistant", text)]
    return [("user", asked), ("assistant", text)]


def noting(world: World, rng: random.Random, language: str) -> Turns:
    """Something to keep in mind, and a sentence that says it back."""
    who, thing = rng.choice(words.PEOPLE).of(language), rng.choice((*words.THINGS, *(p.name for p in world.products)))
    city, place = rng.choice(world.cities).name.of(language), rng.choice(words.PLACES).of(language)
    colour, number = rng.choice(world.colours).of(language), rng.randint(1000, 9999)
    day, item = rng.choice(world.days).name.of(language), thing.of(language)
    if language == "zh":
        asked, answer = rng.choice(
            (
                (f"{who}在找{item}。", f"知道了,{who}要的是{item}。"),
                (f"请记下号码{number}。", f"已经记下,号码是{number}。"),
                (f"{day}要去{city}。", f"行程已记下:{day},{city}。"),
                (f"{item}要涂成{colour}。", f"好的,给{item}涂上{colour}。"),
                (f"把{item}放到{place}。", f"明白,{item}会放在{place}。"),
                (f"{number}号是{who}的{item}。", f"登记完成:{who},{item},{number}号。"),
                (f"我住在{city}。", f"{city}是个好地方。"),
                (f"我丢了{item}。", f"别着急,我们一起找{item}。"),
            )
        )
    else:
        asked, answer = rng.choice(
            (
                (f"{who} is looking for the {item}.", f"I see, {who} needs the {item}."),
                (f"Please write down number {number}.", f"Noted, the number is {number}."),
                (f"On {day} I go to {city}.", f"Your trip is noted: {day}, {city}."),
                (f"Paint the {item} {colour}.", f"Good, the {item} becomes {colour}."),
                (f"Put the {item} into the {place}.", f"Understood, the {item} goes to the {place}."),
                (f"Number {number} is the {item} of {who}.", f"Listed: {who}, {item}, number {number}."),
                (f"I live in {city}.", f"{city} is a good place."),
                (f"I have lost the {item}.", f"Do not worry, we will look for the {item}."),
            )
        )
    return [("user", asked), ("assistant", answer)]


def numbers(world: World, rng: random.Random, language: str) -> Turns:
    """Digits to repeat in their order, and sums to write down, none of them one of the tool exam's: the order is what a small
    model gets wrong, most of all where digits occur twice."""
    chosen = rng.sample("0123456789", rng.choice((2, 3, 10)))
    first, second = ("".join(rng.choice(chosen) for _ in range(rng.randint(1, 6))) for _ in range(2))
    place = rng.choice(words.PLACES).of(language)
    sign = rng.choice(sorted(SIGNS))
    total = f"{rng.randint(2, 99)} {sign} {rng.randint(2, 99)}"
    while is_held_out("calculate", language, total):
        total = f"{rng.randint(2, 99)} {sign} {rng.randint(2, 99)}"
    told = total.replace(sign, SIGNS[sign][language])
    zh = (
        (f"抄一遍{first}", first),
        (f"{first}写在{place}", f"{place}:{first}"),
        (f"先是{first},再是{second}", f"{first},{second}"),
        (f"写成算式:{told.replace(' ', '')}", total),
        (f"写成算式:{total.replace(' ', '')}", total),
        (f"{first}写成JSON", json.dumps({"number": first})),
    )
    en = (
        (f"Copy {first}", first),
        (f"Put {first} in the {place}", f"{place}: {first}"),
        (f"First {first}, then {second}", f"{first}, {second}"),
        (f"Write with a sign: {told}", total),
        (f"Write as JSON: {total}", json.dumps({"sum": total})),
        (f"Write as JSON: {first}", json.dumps({"number": first})),
    )
    asked, answer = rng.choice(zh if language == "zh" else en)
    return [("user", asked), ("assistant", answer)]


def sorting(world: World, rng: random.Random, language: str) -> Turns:
    """Name a thing's kind, or translate it."""
    index = rng.randrange(len(words.THINGS))
    thing, kind = words.THINGS[index], words.KINDS[index // 8]
    if rng.random() < 0.5:
        asked = f"{thing.zh}属于哪一类?" if language == "zh" else f"What kind of thing is the {thing.en}?"
        return [("user", asked), ("assistant", kind.of(language))]
    item = rng.choice([thing, *(product.name for product in world.products), *world.colours])
    other = "en" if language == "zh" else "zh"
    asked = f"用英语怎么说{item.zh}?" if language == "zh" else f"Say {item.en} in Chinese."
    return [("user", asked), ("assistant", item.of(other))]


PASSAGES: tuple[tuple[Callable[[World, random.Random, str], str], str, float], ...] = (
    (product_sheet, "shop-facts", 0.14),
    (city_sheet, "shop-facts", 0.08),
    (handbook, "handbook", 0.10),
    (counter_talk, "counter-talk", 0.18),
    (story, "stories", 0.08),
    (codes, "codes", 0.04),
    (echo, "echoes", 0.08),
    (note, "notes", 0.04),
    (tool_manual, "tool-manuals", 0.02),
    (bank_talk, "bank-talk", 0.05),
)
CHATS: tuple[tuple[Callable[[World, random.Random, str], Turns], str, float], ...] = (
    (reading, "chat-reading", 0.06),
    (noting, "chat-noting", 0.09),
    (repeating, "chat-repeating", 0.05),
    (sorting, "chat-sorting", 0.02),
    (numbers, "chat-numbers", 0.07),
)

DIGITS_AT_SCHOOL = 0.22
"""Half of the exercises: with a quarter, one seed of five exchanged neighbouring digits."""


def exercise_records(count: int, *, seed: int, world: World) -> Iterator[Record]:
    """Conversations only: the exercises in copying, learnt by the answers alone before pre-training proper."""
    rng = random.Random(f"exercises-{seed}")
    weights = [DIGITS_AT_SCHOOL if make is numbers else share for make, _, share in CHATS]
    for index in range(count):
        make, domain, _ = rng.choices(CHATS, weights)[0]
        language = rng.choice(LANGUAGES)
        yield _record(f"exercise-{index:06d}", make(world, rng, language), domain, language)


def corpus_records(count: int, *, seed: int, world: World) -> Iterator[Record]:
    """`count` passages and conversations in the shares above, half Chinese and half English."""
    rng = random.Random(f"corpus-{seed}")
    makers: list[tuple[Callable[[World, random.Random, str], str | Turns], str, float]] = [*PASSAGES, *CHATS]
    weights = [share for _, _, share in makers]
    for index in range(count):
        make, domain, _ = rng.choices(makers, weights)[0]
        language = "en" if make is bank_talk else rng.choice(LANGUAGES)
        yield _record(f"corpus-{index:06d}", make(world, rng, language), domain, language)


def _record(identifier: str, made: str | Turns, domain: str, language: str) -> Record:
    if isinstance(made, str):
        return Record(id=identifier, text=made, facets=facets(domain, language))
    messages = [Message(role=role, content=content) for role, content in made]
    return Record(id=identifier, messages=messages, facets=facets(domain, language))


def tokenizer_text(record: Record) -> str:
    """What the tokenizer is trained on: Chinese characters on lines of their own, so that no token joins two of them
    and a name is written with the same tokens wherever it stands (otherwise it could not be copied)."""
    text = "\n".join([record.text or "", *(message.content for message in record.messages or ())])
    return re.sub(r"([\u4e00-\u9fff])", r"\n\1\n", text)
