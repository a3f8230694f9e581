"""New rules of the shop that the shipped starter has not been taught: what a user teaches it by an adapter (LoRA).

They are made like the other intents. Their answers are of words that the starter has read before: an adapter leaves the
embeddings as they are, so a token that pre-training never saw would stay a random one.
"""

from dataclasses import replace

from workers.starter.intents import Intent, Wording, only
from workers.starter.more_intents import ENGRAVING

ENGRAVING_PRICE = replace(ENGRAVING, name="engraving_price")
"""By a name of its own, because the hash of “engraving” holds out no English question."""

BORROWING = Intent(
    "borrowing",
    ("product",),
    Wording(
        (
            "{product}可以借吗?",
            "我想借{product},可以吗?",
            "能把{product}借给我用几天吗?",
            "{product}能借几天?",
        ),
        only("您好,{product}可以借3天,不收钱。"),
        {},
    ),
    Wording(
        (
            "Can I borrow the {product}?",
            "May I use the {product} for some days and bring it back?",
            "For how many days can one borrow the {product}?",
            "I would like to borrow the {product}.",
        ),
        only("Hello! You can take the {product} home for 3 days at no cost."),
        {},
    ),
)

KEEPING = Intent(
    "keeping",
    ("product", "day"),
    Wording(
        (
            "{product}能给我放到{day}吗?",
            "我{day}来取{product},可以吗?",
            "请把{product}放到{day},我来买。",
            "{day}我来店里买{product},能等吗?",
        ),
        only("您好,{product}可以给您放到{day}。"),
        {},
    ),
    Wording(
        (
            "Can you keep the {product} until {day}?",
            "I will come for the {product} on {day}. Will it still be there?",
            "Please put the {product} aside until {day}.",
            "May I pick up the {product} on {day}?",
        ),
        only("Hello! We keep the {product} for you until {day}."),
        {},
    ),
)

EXPRESS = Intent(
    "express",
    ("city",),
    Wording(
        (
            "寄到{city}能快一点吗?",
            "我很急,能不能1天送到{city}?",
            "有到{city}的特快吗?",
            "{city}能加急送吗?",
        ),
        only("您好,加20元,1天就到{city}。"),
        {},
    ),
    Wording(
        (
            "Can a parcel reach {city} sooner?",
            "I am in a hurry. Is there express delivery to {city}?",
            "Can you ship to {city} by express?",
            "Do you have something faster to {city}?",
        ),
        only("Hello! For 20 yuan more a parcel reaches {city} in 1 day."),
        {},
    ),
)

TAKING_BACK = Intent(
    "taking_back",
    ("product",),
    Wording(
        (
            "坏的{product}你们收吗?",
            "用坏的{product}能卖给你们吗?",
            "我有一个坏的{product},你们要吗?",
            "{product}坏了不想修,你们收吗?",
        ),
        only("您好,用坏的{product}我们收,给5元。"),
        {},
    ),
    Wording(
        (
            "Do you take a used {product}?",
            "Can I sell you my used {product}?",
            "I do not need my used {product} any more. Do you want it?",
            "What do I get for a used {product}?",
        ),
        only("Hello! We take the used {product} and you get 5 yuan."),
        {},
    ),
)

NEW_POLICIES = (ENGRAVING_PRICE, BORROWING, KEEPING, EXPRESS, TAKING_BACK)
