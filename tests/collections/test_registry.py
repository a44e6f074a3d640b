"""Every collection is found by its name and says whose it is."""

import re
from pathlib import Path

import pytest

from covid.collections import COLLECTIONS
from covid.collections.collection import Collection
from covid.errors import DataError
from tests.collections.layout import read


def test_names_are_those_of_the_collections() -> None:
    assert [collection.name for collection in COLLECTIONS.values()] == list(COLLECTIONS)


@pytest.mark.parametrize("collection", COLLECTIONS.values(), ids=list(COLLECTIONS))
def test_a_collection_says_whose_it_is(collection: Collection) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", collection.name)
    for text in (collection.title, collection.address, collection.citation, collection.terms):
        assert text == " ".join(text.split()) and text


@pytest.mark.parametrize("collection", COLLECTIONS.values(), ids=list(COLLECTIONS))
def test_an_empty_folder_is_told_what_was_expected(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(collection, tmp_path)
    assert f"expected {collection.expected}" in str(caught.value)
