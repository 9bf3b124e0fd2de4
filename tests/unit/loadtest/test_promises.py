"""What an answer may show, given what writers were told before and after it."""

from loadtest.promises import MOST, Album, AlbumPromise, CommentPromise, Life


def test_a_comment_shows_its_token_or_more_and_nothing_once_it_is_gone() -> None:
    life = Life("c", version=3)
    promise = CommentPromise(life)
    assert promise.tokens == ["comment-c@3"]
    assert [promise.broken(version) for version in (3, 4)] == ["", ""]
    assert promise.broken(2) == "comment-c@3 is shown at 2"
    assert promise.broken(None) == "comment-c@3 is not there"
    life.deleting = True  # sent while the read was under way
    assert promise.broken(None) == ""
    assert promise.broken(3) == ""
    life.version, life.deleted = 4, True
    assert promise.broken(3) == ""
    assert CommentPromise(life).broken(3) == "comment-c@4 was deleted, and is shown at 3"
    assert CommentPromise(life).broken(None) == ""


def test_a_picture_counts_what_was_told_and_perhaps_what_is_on_its_way() -> None:
    coming, leaving = Life("coming"), Life("leaving", version=2, deleting=True)
    album = Album("p", [Life("a", version=1), Life("gone", version=5, deleting=True, deleted=True), coming, leaving])
    promise = AlbumPromise(album, album.lives)
    assert promise.tokens == ["comment-a@1", "comment-gone@5", "comment-leaving@2"]
    assert [promise.miscounted(count) for count in (1, 2, 3)] == ["", "", ""]
    assert promise.miscounted(0) == "p counts 0 comments, not 1 to 3"
    assert promise.miscounted(4) == "p counts 4 comments, not 1 to 3"
    album.lives.append(Life("later", version=1))  # created while the read was under way
    assert promise.miscounted(4) == ""


def test_a_list_shows_each_at_its_token_or_more() -> None:
    album = Album("p", [Life("a", version=2), Life("b", version=1), Life("gone", version=3, deleting=True, deleted=True)])
    promise = AlbumPromise(album, album.lives)
    assert promise.mislisted({"a": 2, "b": 4}) == ""
    assert promise.mislisted({"a": 1, "b": 1}) == "a@2 is listed at 1"
    assert promise.mislisted({"a": 2}) == "b@1 is missing in the list of p"
    assert promise.mislisted({"a": 2, "b": 1, "gone": 2}) == "gone@3 (deleted) is listed at 2"
    assert promise.mislisted({"a": 2, "b": 1, "stranger": 1}) == "p counts 3 comments, not 2 to 2"


def test_who_names_one_comment_is_promised_that_one() -> None:
    album = Album("p", [Life("a", version=2), Life("b", version=1)])
    promise = AlbumPromise(album, album.lives[:1])
    assert promise.tokens == ["comment-a@2"]
    assert [promise.mislisted(shown) for shown in ({"a": 2}, {"a": 3, "b": 1})] == ["", ""]
    assert promise.mislisted({"b": 1}) == "a@2 is missing in the list of p"


def test_a_picture_never_has_more_than_a_reader_can_name() -> None:
    assert not Album("p", [Life(str(n)) for n in range(MOST - 1)]).full
    assert Album("p", [Life(str(n)) for n in range(MOST)]).full
