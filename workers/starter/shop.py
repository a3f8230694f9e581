"""Facts of the invented shop 书院小店 (Shuyuan Shop): what it sells, where it ships, when it opens, how one pays.

Everything that a question of the demo data can ask about is decided here, once, so that corpus, answers and multiple
choice never contradict each other. `World` can be made smaller for tests.
"""

from dataclasses import dataclass, replace

LANGUAGES = ("zh", "en")


@dataclass(frozen=True)
class Name:
    """A thing's name in both languages."""

    zh: str
    en: str

    def of(self, language: str) -> str:
        return self.zh if language == "zh" else self.en


@dataclass(frozen=True)
class Product:
    """`price` in yuan, `months` of warranty, `restock` days until it is back (0: it is in stock)."""

    name: Name
    price: int
    months: int
    restock: int


@dataclass(frozen=True)
class City:
    """`days` a parcel takes."""

    name: Name
    days: int


@dataclass(frozen=True)
class Day:
    """A weekday with opening and closing hour."""

    name: Name
    opens: int
    closes: int


@dataclass(frozen=True)
class Method:
    """A way to pay, accepted or not."""

    name: Name
    accepted: bool


@dataclass(frozen=True)
class World:
    """Everything the generators draw from."""

    products: tuple[Product, ...]
    cities: tuple[City, ...]
    colours: tuple[Name, ...]
    days: tuple[Day, ...]
    methods: tuple[Method, ...]

    def reduced(self, products: int, cities: int) -> "World":
        """A smaller world for quick tests."""
        return replace(self, products=self.products[:products], cities=self.cities[:cities])


def _products() -> tuple[Product, ...]:
    rows = (
        ("竹节笔筒", "bamboo pen holder", 39, 12, 0),
        ("黄铜书签", "brass bookmark", 28, 24, 0),
        ("牛皮笔记本", "leather notebook", 56, 6, 3),
        ("羊毫毛笔", "writing brush", 45, 6, 0),
        ("端石砚台", "stone inkstone", 188, 36, 5),
        ("护眼台灯", "desk lamp", 129, 24, 0),
        ("胡桃木书立", "walnut bookend", 72, 12, 0),
        ("帆布笔袋", "canvas pencil case", 35, 6, 0),
        ("玻璃镇纸", "glass paperweight", 64, 12, 3),
        ("自动铅笔", "mechanical pencil", 18, 6, 0),
        ("活页夹", "ring binder", 22, 6, 0),
        ("不锈钢直尺", "steel ruler", 12, 24, 0),
        ("金尖钢笔", "fountain pen", 268, 36, 7),
        ("文件收纳盒", "file box", 49, 12, 0),
        ("羊毛桌垫", "wool desk mat", 88, 12, 5),
        ("手摇卷笔刀", "pencil sharpener", 32, 24, 0),
        ("订书机", "stapler", 26, 24, 0),
        ("地球仪", "globe", 158, 12, 7),
        ("机械闹钟", "alarm clock", 96, 24, 3),
        ("放大镜", "magnifying glass", 42, 12, 0),
        ("阅读架", "reading stand", 68, 12, 0),
        ("陶瓷茶杯", "ceramic tea cup", 58, 6, 5),
        ("石刻印章", "seal stamp", 115, 36, 0),
        ("计算器", "pocket calculator", 79, 24, 7),
    )
    return tuple(Product(Name(zh, en), price, months, restock) for zh, en, price, months, restock in rows)


def _cities() -> tuple[City, ...]:
    rows = (
        ("北京", "Beijing", 3),
        ("上海", "Shanghai", 2),
        ("广州", "Guangzhou", 4),
        ("深圳", "Shenzhen", 4),
        ("杭州", "Hangzhou", 2),
        ("成都", "Chengdu", 5),
        ("武汉", "Wuhan", 3),
        ("西安", "Xi'an", 5),
        ("南京", "Nanjing", 2),
        ("重庆", "Chongqing", 5),
        ("苏州", "Suzhou", 2),
        ("天津", "Tianjin", 3),
        ("长沙", "Changsha", 4),
        ("青岛", "Qingdao", 4),
        ("厦门", "Xiamen", 4),
        ("昆明", "Kunming", 6),
    )
    return tuple(City(Name(zh, en), days) for zh, en, days in rows)


def _days() -> tuple[Day, ...]:
    rows = (
        ("星期一", "Monday", 9, 20),
        ("星期二", "Tuesday", 9, 20),
        ("星期三", "Wednesday", 9, 20),
        ("星期四", "Thursday", 9, 20),
        ("星期五", "Friday", 9, 22),
        ("星期六", "Saturday", 10, 22),
        ("星期天", "Sunday", 10, 18),
    )
    return tuple(Day(Name(zh, en), opens, closes) for zh, en, opens, closes in rows)


def _methods() -> tuple[Method, ...]:
    rows = (
        ("微信支付", "WeChat Pay", True),
        ("支付宝", "Alipay", True),
        ("银行卡", "bank card", True),
        ("信用卡", "credit card", True),
        ("银行转账", "bank transfer", True),
        ("数字人民币", "digital yuan", True),
        ("现金", "cash", False),
        ("支票", "cheque", False),
        ("礼品卡", "gift card", False),
        ("购物券", "voucher", False),
    )
    return tuple(Method(Name(zh, en), accepted) for zh, en, accepted in rows)


COLOURS = tuple(
    Name(zh, en)
    for zh, en in (
        ("红色", "red"),
        ("蓝色", "blue"),
        ("绿色", "green"),
        ("黑色", "black"),
        ("白色", "white"),
        ("灰色", "grey"),
        ("黄色", "yellow"),
        ("棕色", "brown"),
    )
)

SHOP = World(_products(), _cities(), COLOURS, _days(), _methods())


def _more_cities() -> tuple[City, ...]:
    rows = (
        ("宁波", "Ningbo", 2),
        ("合肥", "Hefei", 2),
        ("无锡", "Wuxi", 2),
        ("济南", "Jinan", 3),
        ("郑州", "Zhengzhou", 3),
        ("石家庄", "Shijiazhuang", 3),
        ("福州", "Fuzhou", 3),
        ("南昌", "Nanchang", 3),
        ("沈阳", "Shenyang", 4),
        ("大连", "Dalian", 4),
        ("太原", "Taiyuan", 4),
        ("珠海", "Zhuhai", 4),
        ("佛山", "Foshan", 4),
        ("贵阳", "Guiyang", 5),
        ("南宁", "Nanning", 5),
        ("兰州", "Lanzhou", 5),
        ("长春", "Changchun", 5),
        ("哈尔滨", "Harbin", 5),
        ("海口", "Haikou", 6),
        ("拉萨", "Lhasa", 6),
    )
    return tuple(City(Name(zh, en), days) for zh, en, days in rows)


def _more_colours() -> tuple[Name, ...]:
    rows = (
        ("紫色", "purple"),
        ("粉色", "pink"),
        ("橙色", "orange"),
        ("金色", "gold"),
        ("银色", "silver"),
        ("青色", "cyan"),
        ("米色", "beige"),
        ("蓝绿色", "teal"),
        ("深红色", "crimson"),
        ("深蓝色", "navy"),
        ("浅灰色", "ash"),
        ("浅绿色", "mint"),
    )
    return tuple(Name(zh, en) for zh, en in rows)


TAUGHT = replace(SHOP, cities=SHOP.cities + _more_cities(), colours=SHOP.colours + _more_colours())
"""What the starter reads and learns from: more cities and colours than demo and exams name, so that it learns to repeat a name
and does not just know the few that it may say."""
SHOP_NAME = Name("书院小店", "Shuyuan Shop")
FREE_SHIPPING_FROM = 99
SHIPPING_FEE = 8
ADDRESS = Name("苏州市书院路1号", "1 Shuyuan Road, Suzhou")
