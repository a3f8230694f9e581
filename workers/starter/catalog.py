"""What the web needs to seed the demo workspace: texts, data makers, weights, suggested questions. No ML imports."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workers.spec.record import Record
from workers.starter import data
from workers.starter.shop import Name

WEIGHTS = Path(__file__).parent / "weights"
FAMILY = "shuyuan-starter"


@dataclass(frozen=True)
class DemoData:
    """`make` gives the records of one dataset; `use` says what the demo does with it."""

    key: str
    name: Name
    description: Name
    use: Literal["train", "held_out", "label", "pretrain"]
    make: Callable[[], Iterable[Record]]


@dataclass(frozen=True)
class DemoModel:
    """A model folder in the repository with its card (recipe, data hashes, seeds, held-out scores)."""

    key: str
    name: Name
    folder: Path
    parent: str | None

    @property
    def shipped(self) -> bool:
        return (self.folder / "model.safetensors").is_file()

    def card(self) -> dict[str, Any]:
        card: dict[str, Any] = json.loads((self.folder / "card.json").read_text(encoding="utf-8"))
        return card


@dataclass(frozen=True)
class Lesson:
    """What to teach by an adapter: keys of the dataset, of the model that learns it, and of the exam on it."""

    dataset: str
    model: str
    exam: str


@dataclass(frozen=True)
class Catalog:
    project: Name
    datasets: tuple[DemoData, ...]
    models: tuple[DemoModel, ...]
    lesson: "Lesson"
    questions: tuple[Name, ...]
    """Suggested in an empty chat; the shipped weights answer each as the demo data does, which a test shows."""
    system_prompt: str | None


def files() -> Catalog:
    """Everything of the demo. `system_prompt` is None: the starter is trained and asked without one."""
    return Catalog(
        project=Name("书院小店", "Shuyuan Shop"),
        datasets=_datasets(),
        models=(
            DemoModel("base", Name("书院基座", "Starter base"), WEIGHTS / "base", None),
            DemoModel("tuned", Name("书院客服", "Shop assistant"), WEIGHTS / "tuned", "base"),
        ),
        lesson=Lesson("new_policies", "tuned", "new_policies_held_out"),
        questions=(
            Name("护眼台灯多少钱?", "How much is the desk lamp?"),
            Name("玻璃镇纸可以退货吗?", "Can I return the glass paperweight?"),
            Name("星期天开到几点?", "How late are you open on Sunday?"),
            Name("发货到上海要等多久?", "When would an order get to Shanghai?"),
        ),
        system_prompt=None,
    )


def _datasets() -> tuple[DemoData, ...]:
    return (*_shop_data(), *_lesson_data(), *_tool_data(), *_open_data())


def _shop_data() -> tuple[DemoData, ...]:
    return (
        DemoData(
            "shop_train",
            Name("客服问答", "Shop Q&A"),
            Name("已标注的中英文客服问答。", "Labelled customer-service pairs in Chinese and English."),
            "train",
            data.shop_train,
        ),
        DemoData(
            "shop_held_out",
            Name("客服考题", "Shop exam"),
            Name("不参与训练的问答，用来考试。", "Pairs kept away from training, for examinations."),
            "held_out",
            data.shop_held_out,
        ),
        DemoData(
            "shop_choices",
            Name("客服选择题", "Shop quiz"),
            Name("四选一的留出题。", "Held-out questions with four answers each."),
            "held_out",
            data.shop_choices,
        ),
    )


def _lesson_data() -> tuple[DemoData, ...]:
    return (
        DemoData(
            "new_policies",
            Name("新规定", "New policies"),
            Name(
                "客服模型还不知道的规定，和一些不该忘的旧问答：用 LoRA 来教它。",
                "Rules that the shop assistant does not know, and some that it should not forget: teach them by LoRA.",
            ),
            "train",
            data.new_policies,
        ),
        DemoData(
            "new_policies_held_out",
            Name("新规定考题", "New policies exam"),
            Name("关于新规定的留出题。", "Held-out questions about the new policies."),
            "held_out",
            data.new_policies_held_out,
        ),
    )


def _tool_data() -> tuple[DemoData, ...]:
    return (
        DemoData(
            "tools_train",
            Name("工具调用", "Tool calls"),
            Name("查天气、查订单、计算的函数调用。", "Calls of a weather, an order and a calculator function."),
            "train",
            data.tools_train,
        ),
        DemoData(
            "tools_held_out",
            Name("工具调用考题", "Tool exam"),
            Name("不参与训练的函数调用。", "Calls kept away from training."),
            "held_out",
            data.tools_held_out,
        ),
    )


def _open_data() -> tuple[DemoData, ...]:
    return (
        DemoData(
            "unlabelled",
            Name("顾客新提问", "New questions"),
            Name("还没有标注的提问。", "Questions that nobody has labelled yet."),
            "label",
            data.unlabelled,
        ),
    )
