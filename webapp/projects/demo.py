"""The demo workspace."""


def is_prepared() -> bool:
    return False


def prepare() -> None:
    pass
