"""Questions that name no product, day, city or order, as visitors type them first; each has one answer for the whole shop."""

from workers.starter.intents import Intent, Wording, only
from workers.starter.shop import ADDRESS, FREE_SHIPPING_FROM, SHIPPING_FEE


def _general(name: str, zh: tuple[str, ...], answer_zh: str, en: tuple[str, ...], answer_en: str) -> Intent:
    return Intent(name, (), Wording(zh, only(answer_zh), {}), Wording(en, only(answer_en), {}))


HOURS = _general(
    "general_hours",
    (
        "你们几点开门?", "几点开门?", "几点关门?", "你们几点关门?", "营业时间?", "你们的营业时间是什么?", "什么时候开门?",
        "店里几点营业?", "今天开门吗?", "现在开门吗?", "你们周末开门吗?", "你们什么时候营业?", "几点上班?", "营业到几点?",
    ),
    "您好,书院小店周一到周四9点到20点营业,周五9点到22点,周六10点到22点,周日10点到18点。",
    (
        "When do you open?", "When do you close?", "What are your opening hours?", "Opening hours?", "Are you open today?",
        "What time do you open?", "What time do you close?", "Are you open now?", "Are you open on weekends?",
        "When is the shop open?", "How late are you open?", "What are your hours?",
    ),
    "Hello! The shop is open 9:00 to 20:00 from Monday to Thursday, 9:00 to 22:00 on Friday, "
    "10:00 to 22:00 on Saturday and 10:00 to 18:00 on Sunday.",
)  # fmt: skip

WHERE = _general(
    "general_address",
    (
        "你们在哪里?", "店在哪?", "你们的地址是什么?", "地址在哪里?", "怎么去你们店?", "店铺地址?", "你们店在什么地方?",
        "书院小店在哪里?", "有实体店吗?", "你们店在哪里?",
    ),
    f"您好,书院小店在{ADDRESS.zh},欢迎光临。",
    (
        "Where are you?", "Where is the shop?", "What is your address?", "Address?", "How do I get to the shop?",
        "Where are you located?", "Where can I find you?", "Do you have a shop I can visit?", "Where is your store?",
    ),
    f"Hello! You find us at {ADDRESS.en}. Welcome!",
)  # fmt: skip

GOODS = _general(
    "general_goods",
    (
        "你们卖什么?", "有什么商品?", "你们有什么?", "店里都有什么东西?", "推荐一下。", "有什么可以买的?", "你们有哪些产品?",
        "有什么推荐的吗?",
    ),
    "您好,我们卖笔、本子、台灯、印章等文具,请告诉我您想了解哪一件。",
    (
        "What do you sell?", "What products do you have?", "What can I buy here?", "What do you have?", "What is in the shop?",
        "Can you recommend something?", "What kind of shop is this?",
    ),
    "Hello! We sell pens, notebooks, lamps, stamps and more for the desk. Please tell me which item you want to know about.",
)  # fmt: skip

PRICES = _general(
    "general_prices",
    ("多少钱?", "这个多少钱?", "价格是多少?", "怎么卖?", "贵不贵?", "价格?", "你们的东西贵吗?"),
    "您好,我们的商品从12元到268元,请告诉我您想买哪一件。",
    ("How much is it?", "How much does it cost?", "What are your prices?", "Price?", "What does it cost?", "How much is this?"),
    "Hello! Our goods cost from 12 to 268 yuan. Please tell me which item you want to buy.",
)  # fmt: skip

SHIPPING = _general(
    "general_delivery",
    (
        "多久能到?", "几天能到?", "发货要多久?", "快递要几天?", "什么时候发货?", "多久发货?", "送货要多长时间?", "物流多久?",
        "配送要几天?", "快递几天到?",
    ),
    "您好,快递需要2到6天,请告诉我您的城市。",
    (
        "How long does delivery take?", "How long does shipping take?", "When will my parcel arrive?", "Do you deliver?",
        "Delivery time?", "How fast is delivery?", "Do you ship?", "How many days does delivery take?",
    ),
    "Hello! Delivery takes 2 to 6 days. Please tell me your city.",
)  # fmt: skip

FEE = _general(
    "general_fee",
    ("运费多少?", "包邮吗?", "邮费多少钱?", "快递费怎么算?", "运费怎么算?", "要付运费吗?", "免运费吗?", "满多少包邮?"),
    f"您好,满{FREE_SHIPPING_FROM}元包邮,不满的收{SHIPPING_FEE}元运费。",
    (
        "How much is delivery?", "How much is shipping?", "Is shipping free?", "Is delivery free?", "Do I pay for delivery?",
        "What does shipping cost?", "Do you offer free shipping?", "Shipping cost?",
    ),
    f"Hello! Delivery is free from {FREE_SHIPPING_FROM} yuan and costs {SHIPPING_FEE} yuan below that.",
)  # fmt: skip

SEND_BACK = _general(
    "general_returns",
    (
        "可以退货吗?", "怎么退货?", "能退货吗?", "我要退货。", "我想退货。", "退货要几天?", "几天内可以退货?", "退货政策是什么?",
        "不喜欢可以退吗?", "能退吗?", "怎么申请退货?", "怎么退款?", "我想退款。", "可以退吗?",
    ),
    "您好,商品签收后7天内可以退货,请保持包装完好。请告诉我是哪一件商品。",
    (
        "Can I return something?", "How do I return something?", "What is your return policy?", "I want to return something.",
        "Can I get a refund?", "Do you accept returns?", "How do returns work?", "I want my money back.", "Can I return an item?",
        "How do I return an item?", "Return policy?",
    ),
    "Hello! Goods can be returned within 7 days in their original packaging. Please tell me which item it is.",
)  # fmt: skip

SWAP = _general(
    "general_exchange",
    ("可以换货吗?", "怎么换货?", "能换吗?", "我想换货。", "我要换货。", "可以换颜色吗?", "能换别的颜色吗?"),
    "您好,商品15天内可以换颜色,请告诉我是哪一件商品。",
    (
        "Can I exchange something?", "How do exchanges work?", "I want to exchange an item.", "Can I exchange an item?",
        "Can I swap it?",
    ),
    "Hello! Goods can be exchanged for another colour within 15 days. Please tell me which item it is.",
)  # fmt: skip

GUARANTEE = _general(
    "general_warranty",
    ("有保修吗?", "保修多久?", "质保多久?", "保修期是多久?", "坏了怎么办?", "可以修吗?", "东西坏了能修吗?"),
    "您好,商品保修6到36个月,请告诉我是哪一件商品。",
    (
        "Is there a warranty?", "How long is the warranty?", "What if it breaks?", "Do you repair things?",
        "Do you offer a warranty?",
    ),
    "Hello! Our goods have a warranty of 6 to 36 months. Please tell me which item it is.",
)  # fmt: skip

PAYING = _general(
    "general_payment",
    ("怎么付款?", "可以怎么付款?", "支持哪些付款方式?", "有哪些支付方式?", "怎么支付?", "付款方式?", "能用什么付钱?"),
    "您好,可以用微信支付、支付宝、银行卡、信用卡、银行转账和数字人民币。",
    (
        "How can I pay?", "Which payment methods do you accept?", "How do I pay?", "What payment methods are there?",
        "Payment methods?",
    ),
    "Hello! You can use WeChat Pay, Alipay, bank card, credit card, bank transfer and digital yuan.",
)  # fmt: skip

BILL = _general(
    "general_invoice",
    ("可以开发票吗?", "怎么开发票?", "能开发票吗?", "我要发票。", "有发票吗?", "开发票。"),
    "您好,可以开电子发票,请告诉我订单号。",
    (
        "Can I get an invoice?", "How do I get an invoice?", "I need an invoice.", "Do you issue invoices?",
        "Can you send me an invoice?",
    ),
    "Hello! We can issue an invoice. Please tell me your order number.",
)  # fmt: skip

MY_ORDER = _general(
    "general_order",
    (
        "我的快递到哪了?", "我的订单在哪?", "查快递。", "怎么查物流?", "我的包裹呢?", "怎么查订单?", "我的订单什么时候到?",
        "我的包裹到哪了?", "还没收到货。",
    ),
    "您好,请告诉我订单号,也可以在“我的订单”里查看。",
    (
        "Where is my order?", "Where is my parcel?", "How do I track my order?", "Track my order.", "My parcel has not arrived.",
        "When will my order arrive?", "Has my order been shipped?",
    ),
    "Hello! Please tell me your order number, or see the page My Orders.",
)  # fmt: skip

CANCELLING = _general(
    "general_cancel",
    ("可以取消订单吗?", "怎么取消订单?", "我要取消订单。", "取消订单。", "不想要了怎么办?", "能取消吗?"),
    "您好,订单在发货前可以取消,请告诉我订单号。",
    (
        "Can I cancel my order?", "How do I cancel my order?", "I want to cancel my order.", "Cancel my order.",
        "How can I cancel?",
    ),
    "Hello! An order can be cancelled before it ships. Please tell me your order number.",
)  # fmt: skip

PRESENT = _general(
    "general_gift",
    ("可以包装成礼物吗?", "有礼品包装吗?", "能包礼物吗?", "可以送人吗?", "能包装吗?"),
    "您好,所有商品都可以免费包成礼物,请告诉我是哪一件。",
    (
        "Do you gift-wrap?", "Can you wrap it as a gift?", "Do you have gift boxes?", "Is gift wrapping free?",
        "Can it be a present?",
    ),
    "Hello! We gift-wrap everything for free. Please tell me which item it is.",
)  # fmt: skip

GREETING = _general(
    "greeting",
    ("你好", "您好", "在吗?", "有人吗?", "你好!", "早上好", "晚上好", "嗨", "哈喽"),
    "您好,这里是书院小店,请问有什么可以帮您?",
    ("Hello", "Hi", "Hey", "Hello!", "Hi!", "Good morning", "Good evening", "Hi there", "Is anybody there?"),
    "Hello! This is Shuyuan Shop. What can I do for you?",
)  # fmt: skip

FAREWELL = _general(
    "farewell",
    ("谢谢", "谢谢你", "多谢", "好的,谢谢", "再见", "谢谢!", "好的", "明白了"),
    "不客气,欢迎再来书院小店。",
    ("Thanks", "Thank you", "Thanks a lot", "Bye", "Goodbye", "OK, thanks", "Great, thank you", "Thank you!"),
    "You are welcome. See you again at Shuyuan Shop!",
)  # fmt: skip

ASSISTANT = _general(
    "assistant",
    ("你是谁?", "你叫什么名字?", "你是机器人吗?", "你是人工客服吗?", "你能做什么?", "你会什么?", "介绍一下你自己。"),
    "您好,我是书院小店的客服模型,可以回答商品、订单和快递的问题。",
    ("Who are you?", "What is your name?", "Are you a robot?", "What can you do?", "Are you human?", "Introduce yourself."),
    "Hello! I am the assistant model of Shuyuan Shop. Ask me about goods, orders and delivery.",
)  # fmt: skip

GENERAL = (
    HOURS, WHERE, GOODS, PRICES, SHIPPING, FEE, SEND_BACK, SWAP, GUARANTEE, PAYING, BILL, MY_ORDER, CANCELLING, PRESENT,
    GREETING, FAREWELL, ASSISTANT,
)  # fmt: skip
