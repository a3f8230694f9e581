"""The names that columns have in the wild, in English and Chinese, for each thing that a record can say."""

TEXT = ("text", "content", "sentence", "utterance", "review", "passage", "document", "body", "paragraphs", "comment", "message",
        "文本", "内容", "句子", "正文", "评论")  # fmt: skip
LABEL = ("label", "category", "intent", "class", "sentiment", "label_text", "topic", "标签", "类别", "意图", "分类", "情感")
QUESTION = ("question", "instruction", "prompt", "query", "problem", "input", "user", "ask", "q",
            "问题", "提问", "指令", "问", "用户", "题目")  # fmt: skip
ANSWER = ("answer", "output", "response", "completion", "reply", "assistant", "target", "solution", "a",
          "回答", "答案", "回复", "输出", "答")  # fmt: skip
SYSTEM = ("system", "system_prompt", "系统提示")
IDENTIFIER = ("id", "_id", "uid", "idx", "record_id", "question_id", "unique_id", "编号", "序号")
CHOICES = ("choices", "options", "endings", "选项")
CORRECT = ("answer", "label", "gold", "answerkey", "answer_index", "correct", "正确答案", "答案")
SOURCE = ("source", "来源")
DOMAIN = ("domain", "subject", "领域", "学科")
LANGUAGE = ("language", "lang", "语言")
LICENCE = ("licence", "license", "许可")
QUALITY = ("quality", "质量")

FIELDS: dict[str, tuple[str, ...]] = {
    "id": IDENTIFIER,
    "text": TEXT,
    "label": LABEL,
    "question": QUESTION,
    "answer": ANSWER,
    "system": SYSTEM,
    "choices": CHOICES,
    "source": SOURCE,
    "domain": DOMAIN,
    "language": LANGUAGE,
    "licence": LICENCE,
    "quality": QUALITY,
}

_KNOWN = frozenset(name for names in FIELDS.values() for name in names) | {
    "messages", "conversations", "tools", "chosen", "rejected", "history", "modality", "media", "extra", "choices",
    "c", "d", "e", "explanation", "split",
}  # fmt: skip


def is_known_name(name: str) -> bool:
    return name.strip().lower() in _KNOWN
