"""Words of the pre-training corpus that do not belong to the shop: people, things, categories, a bank's services."""

from workers.starter.shop import Name


def _names(*pairs: str) -> tuple[Name, ...]:
    return tuple(Name(*pair.split("/")) for pair in pairs)


PEOPLE = _names(
    "小明/Ming", "小红/Hong", "李雷/Lei", "王芳/Fang", "张伟/Wei", "刘洋/Yang", "陈静/Jing", "赵强/Qiang",
    "周婷/Ting", "吴磊/Leo", "孙丽/Lily", "林涛/Tom", "何平/Peter", "郭敏/Mina", "高翔/Oscar", "罗文/Ruben",
    "唐宁/Nina", "谢安/Anna", "韩梅/May", "冯军/Jack", "曹颖/Ivy", "邓超/Dan", "许晴/Clara", "宋佳/Sonia",
)  # fmt: skip

THINGS = _names(
    "苹果/apple", "香蕉/banana", "西瓜/melon", "葡萄/grape", "米饭/rice", "面包/bread", "鸡蛋/egg", "牛奶/milk",
    "小猫/cat", "小狗/dog", "白马/horse", "老虎/tiger", "兔子/rabbit", "大象/elephant", "金鱼/goldfish", "猴子/monkey",
    "汽车/car", "火车/train", "飞机/plane", "自行车/bicycle", "轮船/ship", "公交车/bus", "地铁/metro", "卡车/truck",
    "桌子/table", "椅子/chair", "窗户/window", "钥匙/key", "雨伞/umbrella", "帽子/hat", "手表/watch", "相机/camera",
)  # fmt: skip

KINDS = _names("食物/food", "动物/animal", "交通工具/vehicle", "物品/object")
"""THINGS are listed eight of a kind, in this order."""

ACTIONS = _names(
    "找到了/found", "买了/bought", "带来了/brought", "看见了/saw", "画了/painted", "借了/borrowed", "送出了/gave away",
    "喜欢/liked",
)  # fmt: skip

PLACES = _names(
    "学校/school", "公园/park", "车站/station", "图书馆/library", "医院/hospital", "市场/market", "河边/river",
    "办公室/office", "博物馆/museum", "海边/beach",
)  # fmt: skip

BANK_CARDS = ("card", "debit card", "credit card", "virtual card", "new card", "replacement card", "disposable card")
BANK_ACCOUNTS = ("account", "balance", "savings account", "statement", "app", "profile")
BANK_MONEY = ("transfer", "payment", "top-up", "refund", "cash withdrawal", "deposit", "direct debit", "cheque", "fee")
BANK_PLACES = ("ATM", "shop", "bank", "country", "hotel", "restaurant", "market", "cash machine")
BANK_STATES = (
    "pending", "declined", "cancelled", "wrong", "missing", "late", "blocked", "lost", "stolen", "not working", "expired",
    "reverted", "charged twice", "limited", "verified", "failed", "activated", "stuck", "compromised", "accepted",
)  # fmt: skip
CURRENCIES = ("pounds", "euros", "dollars", "yuan", "GBP", "EUR", "USD")
BANK_SENTENCES = (
    "The {money} is still {state}.",
    "Why was my {money} {state}?",
    "My {card} was {state} at the {place}.",
    "I think my {card} has been {state}. What should I do?",
    "How do I change the PIN of my {card}?",
    "I forgot my passcode and cannot get into the {account}.",
    "I would like to activate my {card}, please.",
    "How long does a {money} from abroad take to show in my {account}?",
    "There is an extra {money} on my {account} that I do not recognise.",
    "What exchange rate do you use for {currency}?",
    "I was charged {amount} {currency} when I used my {card} in another {place}.",
    "The {place} gave me only {amount} {currency}, but I asked for more.",
    "Can I top up my {account} with a {card}?",
    "Which {place} will take my {card}?",
    "I need to verify my identity and the source of my funds.",
    "Please close my {account} and delete my {account}.",
    "When will the {card} arrive in the post?",
    "Do you support {currency} and other currencies?",
    "How can I get a second {card} for my daughter, who is still a child?",
    "Is there a limit on each {money}?",
    "My phone was {state}, so how can I use the {account}?",
    "I made a {money} to the wrong person and want it back.",
    "Can I use Apple Pay or Google Pay with the {card}?",
    "I want to edit my personal details because I moved and changed my name.",
    "My {money} did not go through, and I do not know why it was {state}.",
    "The {money} I made this morning with my {card} is not in the {account} yet.",
    "Could you tell me why I have to pay a {money} for using my {card}?",
    "I would like to track the {card} you have sent me.",
    "How many times can I use a {card} before it is {state}?",
    "If I am older than sixteen, am I able to use an {account}?",
)

TOOL_VERBS = ("find", "play", "open", "send", "get", "read")
TOOL_OBJECTS = ("book", "song", "door", "letter", "map", "page")
TOOL_ARGUMENTS = ("title", "name", "place", "city", "number", "text")
