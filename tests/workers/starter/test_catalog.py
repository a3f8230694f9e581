"""What the web seeds the demo workspace from."""

from workers.starter import catalog


def test_catalog_names_everything_in_both_languages() -> None:
    demo = catalog.files()
    names = [demo.project, *(item.text for item in demo.questions)]
    names += [name for item in demo.datasets for name in (item.name, item.description)]
    names += [item.name for item in demo.models]
    assert all(name.zh and name.en and name.zh != name.en for name in names)
    assert len(demo.questions) == 3
    assert sum(item.known_gap for item in demo.questions) == 1


def test_catalog_makes_every_dataset_but_the_corpus() -> None:
    demo = catalog.files()
    assert {item.key for item in demo.datasets} == set(catalog.data.FILES) - {"corpus"}
    for item in demo.datasets:
        assert list(item.make())
