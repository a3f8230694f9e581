"""A thin client of Shuyuan's API: import data, run label projects, bring in predictions, take the labels out.

    from shuyuan import Client

    academy = Client("http://127.0.0.1:8000", key="sy_…", workspace="academy")
    version = academy.import_file("texts.jsonl", name="Texts")
    project = academy.create_project(version["id"], name="Intents", preset="classification", labels=["card", "cash"])
    academy.predict(project["id"], model="mine v1", predictions=[{"key": "r1", "value": […], "score": 0.8}])
    for row in academy.annotations(project["id"]):
        print(row["key"], row["value"])

It needs httpx only. Keys are made in Settings; a key acts with its owner's rights.
"""

from shuyuan.client import ApiError, Client

__all__ = ["ApiError", "Client"]
