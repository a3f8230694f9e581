"""The rest of the shop's intents (see `intents`), the list of all, and the one that the starter does not know."""

from workers.starter.intents import (
    DELIVERY,
    EXCHANGE,
    INVOICE,
    OPENING_HOURS,
    RETURNS,
    WARRANTY,
    Intent,
    Wording,
    only,
    remarks,
)

PAYMENT = Intent(
    "payment",
    ("method",),
    Wording(
        (
            "可以用{method}付款吗?",
            "你们收{method}吗?",
            "能用{method}吗?",
            "支持{method}吗?",
            "我想用{method}付钱,可以吗?",
            "付款的时候能选{method}吗?",
        ),
        {
            "yes": "您好,可以用{method}付款,付款后当天发货。",
            "no": "抱歉,暂时不支持{method},请用微信支付或支付宝。",
        },
        {"yes": ("收{method}。", "{method}没问题。"), "no": ("不收{method}。", "{method}用不了。")},
    ),
    Wording(
        (
            "Can I pay by {method}?",
            "Do you accept {method}?",
            "Do you take {method}?",
            "Is {method} accepted?",
            "I would like to pay by {method}. Is that possible?",
            "May I use {method} to pay?",
        ),
        {
            "yes": "Hello! You can pay by {method}, and we ship on the same day.",
            "no": "Sorry, we do not accept {method}. Please use WeChat Pay or Alipay.",
        },
        {"yes": ("{method} is fine.", "We take {method}."), "no": ("No {method} here.", "We never take {method}.")},
    ),
)

STOCK = Intent(
    "stock",
    ("product",),
    Wording(
        (
            "{product}有货吗?",
            "{product}还有吗?",
            "现在能买到{product}吗?",
            "{product}卖完了吗?",
            "我想买{product},有现货吗?",
            "店里还有{product}吗?",
        ),
        {
            "yes": "您好,{product}有现货,今天下单今天发货。",
            "no": "您好,{product}暂时缺货,{restock}天后到货。",
        },
        {
            "yes": ("货架上有{product}。", "{product}现在就有。"),
            "no": ("{product}卖完了,再等{restock}天。", "{restock}天以后才有{product}。"),
        },
    ),
    Wording(
        (
            "Is the {product} in stock?",
            "Do you still have the {product}?",
            "Can I buy the {product} now?",
            "Is the {product} sold out?",
            "Is the {product} available?",
            "I would like to buy the {product}. Do you have it?",
        ),
        {
            "yes": "Hello! The {product} is in stock and ships today.",
            "no": "Hello! The {product} is sold out and will be back in {restock} days.",
        },
        {
            "yes": ("The {product} is on the shelf.", "We have the {product} here."),
            "no": ("No {product} left, {restock} days to wait.", "The {product} comes again in {restock} days."),
        },
    ),
)

PRICE = Intent(
    "price",
    ("product",),
    Wording(
        (
            "{product}多少钱?",
            "{product}怎么卖?",
            "{product}的价格是多少?",
            "买{product}要花多少钱?",
            "请告诉我{product}的价格。",
            "{product}贵不贵?",
        ),
        {"": "您好,{product}的价格是{price}元,欢迎选购。"},
        {"": ("{product}卖{price}元。", "{price}元就能买{product}。")},
    ),
    Wording(
        (
            "How much is the {product}?",
            "What does the {product} cost?",
            "What is the price of the {product}?",
            "How much do I pay for the {product}?",
            "Is the {product} expensive?",
            "Could you tell me the price of the {product}?",
        ),
        {"": "Hello! The price of the {product} is {price} yuan."},
        {"": ("We sell the {product} for {price} yuan.", "{price} yuan buys the {product}.")},
    ),
)

ORDER_STATUS = Intent(
    "order_status",
    ("order",),
    Wording(
        (
            "订单{order}到哪了?",
            "帮我查一下订单{order}。",
            "我的订单{order}发货了吗?",
            "订单{order}什么时候到?",
            "我想查订单{order}的物流。",
            "订单{order}怎么还没到?",
        ),
        only("您好,订单{order}的物流可以在“我的订单”里查看。"),
        remarks("{order}的位置网页上有。", "看网页就知道{order}在哪。"),
    ),
    Wording(
        (
            "Where is my order {order}?",
            "Has order {order} been shipped?",
            "When will order {order} arrive?",
            "I am still waiting for order {order}.",
            "Please check the status of order {order}.",
            "Can you track order {order} for me?",
        ),
        only("Hello! You can follow order {order} on the page My Orders."),
        remarks("The web page shows where {order} is.", "Look up {order} on the web page."),
    ),
)

CANCEL_ORDER = Intent(
    "cancel_order",
    ("order",),
    Wording(
        (
            "我要取消订单{order}。",
            "订单{order}可以取消吗?",
            "怎么取消订单{order}?",
            "订单{order}不要了,请帮我取消。",
            "能帮我取消订单{order}吗?",
            "下错单了,订单{order}想取消。",
        ),
        only("您好,订单{order}在发货前可以取消,退款3天内到账。"),
        remarks("{order}没发货就能撤,钱3天退。", "趁没发货撤掉{order}。"),
    ),
    Wording(
        (
            "I want to cancel order {order}.",
            "Can I cancel order {order}?",
            "How do I cancel order {order}?",
            "Please cancel order {order} for me.",
            "Order {order} was a mistake. Please cancel it.",
            "Is it possible to cancel order {order}?",
        ),
        only("Hello! You can cancel order {order} before it ships, and the refund takes 3 days."),
        remarks("{order} can be stopped until it leaves us.", "Stop {order} early and the money is back in 3 days."),
    ),
)

GIFT_WRAP = Intent(
    "gift_wrap",
    ("product",),
    Wording(
        (
            "{product}可以包成礼物吗?",
            "{product}能做礼品包装吗?",
            "我想把{product}送人,可以包装一下吗?",
            "{product}有礼盒吗?",
            "买{product}当礼物,能包装吗?",
            "请帮我把{product}包成礼物。",
        ),
        only("您好,{product}可以免费包成礼物,还会附一张贺卡。"),
        remarks("{product}送人的话我们包好。", "给{product}包礼盒不收钱。"),
    ),
    Wording(
        (
            "Can you wrap the {product} as a gift?",
            "The {product} is a present. Can you wrap it?",
            "Do you have a gift box for the {product}?",
            "I would like the {product} in gift paper.",
            "Is gift wrapping available for the {product}?",
            "Please wrap the {product} for a friend.",
        ),
        only("Hello! We gift-wrap the {product} for free and add a greeting card."),
        remarks("We wrap the {product} as a present at no cost.", "Gift paper for the {product} is on us."),
    ),
)

ENGRAVING = Intent(
    "engraving",
    ("product",),
    Wording(
        (
            "{product}可以刻字吗?",
            "能在{product}上刻名字吗?",
            "我想给{product}刻字,怎么收费?",
        ),
        only("您好,{product}可以刻字,加15元。"),
        remarks("{product}刻字加15元。"),
    ),
    Wording(
        (
            "Can you engrave the {product}?",
            "Could you put a name on the {product}?",
            "How much is engraving on the {product}?",
        ),
        only("Hello! We engrave the {product} for 15 yuan more."),
        remarks("A name on the {product} is 15 yuan more."),
    ),
)
"""Told in the corpus but taught in no answer: the gap that a user of the demo closes by correcting an answer."""

INTENTS = (
    OPENING_HOURS,
    DELIVERY,
    RETURNS,
    EXCHANGE,
    WARRANTY,
    INVOICE,
    PAYMENT,
    STOCK,
    PRICE,
    ORDER_STATUS,
    CANCEL_ORDER,
    GIFT_WRAP,
)
