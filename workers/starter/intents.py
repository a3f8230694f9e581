"""What customers of the shop want, how they say it, and the one right answer in the shop's voice.

Each intent has question forms in both languages, the answer of the shop's chat service (what fine-tuning teaches) and
a plain remark with the same content (what the pre-training corpus says, in other words).
"""

from dataclasses import dataclass

from workers.starter.shop import FREE_SHIPPING_FROM


@dataclass(frozen=True)
class Wording:
    """One intent in one language. `answer` and `plain` are keyed by case ("" when there is only one)."""

    questions: tuple[str, ...]
    answer: dict[str, str]
    plain: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Intent:
    """`slots` name what a question is about; facts are filled in from the world."""

    name: str
    slots: tuple[str, ...]
    zh: Wording
    en: Wording

    def wording(self, language: str) -> Wording:
        return self.zh if language == "zh" else self.en


def only(answer: str) -> dict[str, str]:
    return {"": answer}


def remarks(*remarks: str) -> dict[str, tuple[str, ...]]:
    return {"": remarks}


OPENING_HOURS = Intent(
    "opening_hours",
    ("day",),
    Wording(
        (
            "{day}几点开门?",
            "你们{day}营业吗?",
            "{day}的营业时间是什么?",
            "{day}开到几点?",
            "我想{day}过去,店里几点关门?",
            "{day}可以去店里吗?",
        ),
        only("您好,书院小店{day}的营业时间是{opens}点到{closes}点。"),
        remarks("{day}{opens}点开门,{closes}点关门。", "{day}从{opens}点开到{closes}点。"),
    ),
    Wording(
        (
            "When do you open on {day}?",
            "Are you open on {day}?",
            "What are your opening hours on {day}?",
            "How late are you open on {day}?",
            "I would like to visit on {day}. When does the shop close?",
            "Can I come to the shop on {day}?",
        ),
        only("Hello! On {day} the shop is open from {opens}:00 to {closes}:00."),
        remarks("{day}: doors open at {opens}:00 and close at {closes}:00.", "We keep {opens}:00 to {closes}:00 on {day}."),
    ),
)

DELIVERY = Intent(
    "delivery",
    ("city",),
    Wording(
        (
            "寄到{city}要几天?",
            "{city}多久能收到货?",
            "我在{city},快递几天到?",
            "送到{city}需要多长时间?",
            "发货到{city}要等多久?",
            "快递到{city}慢不慢?",
        ),
        only(f"您好,寄到{{city}}需要{{days}}天,满{FREE_SHIPPING_FROM}元包邮。"),
        remarks("包裹{days}天到{city}。", "去{city}的快递走{days}天。"),
    ),
    Wording(
        (
            "How long does delivery to {city} take?",
            "How many days until a parcel reaches {city}?",
            "I live in {city}. When will my parcel arrive?",
            "How fast do you ship to {city}?",
            "When would an order get to {city}?",
            "Do you deliver to {city}, and how long does it take?",
        ),
        only(f"Hello! Delivery to {{city}} takes {{days}} days and is free from {FREE_SHIPPING_FROM} yuan."),
        remarks("A parcel for {city} needs {days} days.", "{days} days to {city}."),
    ),
)

RETURNS = Intent(
    "returns",
    ("product",),
    Wording(
        (
            "{product}可以退货吗?",
            "我不想要{product}了,怎么退?",
            "买的{product}不合适,能退吗?",
            "{product}怎么申请退货?",
            "我想退掉刚买的{product}。",
            "收到的{product}我不喜欢,可以退吗?",
        ),
        only("您好,{product}签收后7天内可以退货,请保持包装完好。"),
        remarks("7天之内能退{product}。", "{product}一周以内可退。"),
    ),
    Wording(
        (
            "Can I return the {product}?",
            "I no longer want the {product}. How do I send it back?",
            "How do I return the {product}?",
            "The {product} does not suit me. Can I get my money back?",
            "I would like a refund for the {product}.",
            "What is your return policy for the {product}?",
        ),
        only("Hello! You can return the {product} within 7 days in its original packaging."),
        remarks("We take the {product} back for a week.", "The {product} may come back within 7 days."),
    ),
)

EXCHANGE = Intent(
    "exchange",
    ("product", "colour"),
    Wording(
        (
            "我想把{product}换成{colour}的。",
            "{product}可以换{colour}的吗?",
            "买错颜色了,{product}能换成{colour}吗?",
            "能不能帮我把{product}换成{colour}?",
            "{product}想换{colour},怎么办理?",
            "请把我的{product}换成{colour}。",
        ),
        only("您好,{product}可以换成{colour},请在15天内寄回。"),
        remarks("{product}有{colour},15天内能换。", "换{colour}的{product},15天以内都行。"),
    ),
    Wording(
        (
            "I want the {product} in {colour} instead.",
            "Can I exchange the {product} for a {colour} one?",
            "Could you swap my {product} for {colour}?",
            "I picked the wrong colour. Can I have the {product} in {colour}?",
            "How do I exchange the {product} for {colour}?",
            "Please change the {product} to {colour}.",
        ),
        only("Hello! We can exchange the {product} for {colour} within 15 days."),
        remarks("The {product} in {colour} can be had in a swap for 15 days.", "Swap it: {product}, {colour}, 15 days."),
    ),
)

WARRANTY = Intent(
    "warranty",
    ("product",),
    Wording(
        (
            "{product}保修多久?",
            "{product}的保修期是几个月?",
            "{product}用坏了能修吗?",
            "{product}有质保吗?",
            "如果{product}坏了,可以免费修吗?",
            "{product}的质保时间是多长?",
        ),
        only("您好,{product}保修{months}个月,保修期内免费维修。"),
        remarks("{product}质保{months}个月。", "{months}个月里{product}坏了包修。"),
    ),
    Wording(
        (
            "How long is the warranty on the {product}?",
            "Does the {product} come with a warranty?",
            "What happens if the {product} breaks?",
            "Is the {product} covered if it breaks?",
            "For how many months is the {product} guaranteed?",
            "Will you repair the {product} for free?",
        ),
        only("Hello! The {product} has a warranty of {months} months with free repair."),
        remarks("The {product} is guaranteed for {months} months.", "{months} months of cover on the {product}."),
    ),
)

INVOICE = Intent(
    "invoice",
    ("order",),
    Wording(
        (
            "订单{order}怎么开发票?",
            "请给订单{order}开发票。",
            "订单{order}能开电子发票吗?",
            "我需要订单{order}的发票。",
            "订单{order}的发票在哪里?",
            "怎么拿到订单{order}的发票?",
        ),
        only("您好,订单{order}的电子发票会在24小时内发到您的邮箱。"),
        remarks("{order}的发票一天内用邮件发出。", "订单{order}的发票走邮件。"),
    ),
    Wording(
        (
            "How do I get an invoice for order {order}?",
            "Please send me an invoice for order {order}.",
            "Can you issue an invoice for order {order}?",
            "I need the invoice for order {order}.",
            "Where is the invoice for order {order}?",
            "My company needs an invoice for order {order}.",
        ),
        only("Hello! The invoice for order {order} will be in your mailbox within 24 hours."),
        remarks("We mail the invoice of {order} in a day.", "Invoice {order} goes out by mail."),
    ),
)
