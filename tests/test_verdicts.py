"""Verdicts: reading their lines, merging what several people decided, and how far they agree."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamap_cli.analysis import verdicts
from datamap_cli.analysis.verdicts import Decision, Verdict
from datamap_cli.errors import DatamapError

PLAIN = {"id": 3, "verdict": "keep", "label": "yes", "reviewer": "ann", "at": "2026-11-24T09:00:00+01:00"}
KEEP = Verdict(3, "keep", "yes", None, "ann", "2026-11-24T09:00:00+01:00")


def make(
    word: str, identity: int | str = 3, *, by: str = "ann", at: int = 0, label: str = "yes", **more: Any
) -> Verdict:
    new = more.pop("new", "no" if word == "relabel" else None)
    moment = f"2026-11-24T09:{at // 60:02}:{at % 60:02}+01:00"
    return Verdict(identity, word, label, new, by, moment, **more)  # type: ignore[arg-type]


def lines(*trees: dict[str, Any]) -> bytes:
    return "".join(json.dumps(tree, ensure_ascii=False) + "\n" for tree in trees).encode()


def loaded(tmp_path: Path, content: bytes) -> verdicts.Loaded:
    path = tmp_path / "verdicts.jsonl"
    path.write_bytes(content)
    return verdicts.load(path)


# ---------------------------------------------------------------------------------------------- lines

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text.strip() != "")


@given(
    identity=st.one_of(st.integers(), TEXTS),
    word=st.sampled_from(verdicts.WORDS),
    texts=st.tuples(TEXTS, TEXTS, TEXTS),
    optional=st.tuples(
        st.none() | st.text(st.characters(exclude_categories=["Cs"])), st.none() | TEXTS, st.none() | TEXTS
    ),
)
def test_a_verdict_is_read_as_it_was_written(
    identity: int | str, word: verdicts.Word, texts: tuple[str, str, str], optional: tuple[Any, Any, Any]
) -> None:
    new = texts[1] if word == "relabel" else None
    verdict = Verdict(identity, word, texts[0], new, texts[2], KEEP.at, *optional)
    line = verdicts.serialize(verdict)
    assert (1, verdict) == (line.count("\n"), verdicts.parse(line, "here"))


def test_the_fields_of_a_line_are_those_of_the_contract() -> None:
    names = ["id", "verdict", "label", "new_label", "reviewer", "at", "note", "run", "sample"]
    assert names == list(json.loads(verdicts.serialize(KEEP)))


@pytest.mark.parametrize(
    "at",
    [
        "2026-11-24T09:00:00Z",
        "2026-11-24T09:00:00.5+00:00",
        "2021-03-09T21:52:49.5137421Z",
        "2026-11-24 09:00:00+08:00",
    ],
)
def test_times_are_read_with_any_decimals_and_zone(at: str) -> None:
    assert at == verdicts.parse(json.dumps(PLAIN | {"at": at}), "here").at


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("not valid JSON; expected a verdict, a JSON object a line", '{"id": 3,'),
        ("not a JSON object; expected a verdict", "[1]"),
        ("no verdict and no at; a verdict has id, verdict, label, reviewer and at", {"verdict": None, "at": None}),
        ('verdict: "maybe": expected keep, relabel, drop, unsure, undo', {"verdict": "maybe"}),
        ("verdict: [1]: expected keep", {"verdict": [1]}),
        ("id: 1.5: expected an integer or a text", {"id": 1.5}),
        ("id: true: expected an integer or a text", {"id": True}),
        ("id: empty", {"id": " "}),
        ("label: 1: expected a text", {"label": 1}),
        ("note: {}: expected a text", {"note": {}}),
        ("new_label: expected with the verdict relabel, and with no other", {"verdict": "relabel"}),
        ("new_label: expected with the verdict relabel, and with no other", {"new_label": "no"}),
        ("new_label: empty", {"verdict": "relabel", "new_label": " "}),
        ('at: "2026-11-24T09:00:00": expected a date and time with zone', {"at": "2026-11-24T09:00:00"}),
        ('at: "today": expected a date and time with zone', {"at": "today"}),
    ],
)  # fmt: skip
def test_a_line_that_is_no_verdict_is_told_with_its_number(
    tmp_path: Path, message: str, line: str | dict[str, Any]
) -> None:
    bad = line if isinstance(line, str) else json.dumps(PLAIN | line)
    with pytest.raises(DatamapError) as error:
        loaded(tmp_path, lines(PLAIN, PLAIN) + bad.encode() + b"\n" + lines(PLAIN))
    assert str(error.value).startswith(f"{tmp_path / 'verdicts.jsonl'}, line 3: {message}")
    assert "\n" not in str(error.value)


def test_only_a_last_line_that_was_cut_off_is_left_out_and_told(tmp_path: Path) -> None:
    whole = lines(PLAIN, PLAIN | {"id": 4, "note": "它"})
    for end in range(len(lines(PLAIN)) + 1, len(whole) - 1):
        found = loaded(tmp_path, whole[:end])
        assert ([KEEP], [f"{tmp_path / 'verdicts.jsonl'}, line 2: cut off in the middle, and left out"]) == (
            found.verdicts,
            found.notes,
        )
        assert end - len(lines(PLAIN)) == verdicts.cut_off(tmp_path / "verdicts.jsonl")
    for content in (whole, whole[:-1], b"\xef\xbb\xbf" + whole, whole.replace(b"\n", b"\r\n\r\n")):
        found = loaded(tmp_path, content)
        assert ([3, 4], [], 0) == (
            [verdict.id for verdict in found.verdicts],
            found.notes,
            verdicts.cut_off(tmp_path / "verdicts.jsonl"),
        )
    assert [] == loaded(tmp_path, b"").verdicts


def test_a_file_that_is_missing_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatamapError, match="no such file; `datamap review` writes verdicts"):
        verdicts.load(tmp_path / "none.jsonl")
    with pytest.raises(DatamapError, match="line 1: not"):
        loaded(tmp_path, b"PAR1\xff\x00\n")


# -------------------------------------------------------------------------------------------- the run


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        ('a, line 2: id "3": the ids of the run are integers', make("keep", "3")),
        ("a, line 2: id 9 is not in the run", make("keep", 9)),
        (
            'a, line 2: id 3: the label is "yes" in the run, not "no"; the verdict is of other labels',
            make("keep", label="no"),
        ),
    ],
)
def test_verdicts_of_other_examples_are_refused(message: str, verdict: Verdict) -> None:
    verdicts.refuse_strange(
        [KEEP, make("keep", run="another run over the same labels")], {3: "yes"}, kind=int, of="the run"
    )
    with pytest.raises(DatamapError) as error:
        verdicts.refuse_strange(
            [KEEP, replace(verdict, place="a, line 2"), verdict], {3: "yes"}, kind=int, of="the run"
        )
    assert f"{message} (2 such verdicts)" == str(error.value)


def test_integers_are_no_ids_where_ids_are_texts() -> None:
    with pytest.raises(DatamapError, match="id 3: the ids of the run are texts"):
        verdicts.refuse_strange([KEEP], {"3": "yes"}, kind=str, of="the run")


def test_a_new_label_that_is_no_class_is_refused() -> None:
    verdicts.refuse_new_classes([make("relabel"), KEEP], ["no", "yes"])
    with pytest.raises(DatamapError, match='new_label "maybe" is no class: no, yes; --allow-new-classes admits it'):
        verdicts.refuse_new_classes([make("relabel", new="maybe")], ["no", "yes"])


# -------------------------------------------------------------------------------------------- merging


def test_the_last_line_of_a_reviewer_on_an_id_counts() -> None:
    file = [
        make("keep", at=9),
        make("keep", 4),
        make("drop", by="bo"),
        make("relabel", at=2),
        make("drop", 4),
        make("undo", 4),
    ]
    assert [file[3], file[2]] == verdicts.current([file])


def test_of_several_files_the_verdict_decided_latest_counts() -> None:
    early, late = make("keep", at=1), make("drop", at=2)
    assert [late] == verdicts.current([[early], [late]]) == verdicts.current([[late], [early]])
    assert [] == verdicts.current([[make("undo", at=3)], [late]])
    across = replace(early, at="2026-11-24T08:00:30Z", verdict="unsure")  # half a minute after nine there
    assert [across] == verdicts.current([[across], [early, KEEP]])


def merged(group: list[Verdict], on_conflict: verdicts.OnConflict) -> tuple[Any, ...]:
    (decision,) = verdicts.merge(group, on_conflict).decisions
    return decision.verdict, decision.new_label, [verdict.reviewer for verdict in decision.by]


A, B, C = make("relabel", by="a", at=1), make("keep", by="b", at=3), make("relabel", by="c", at=2)


@pytest.mark.parametrize(
    ("expected", "group", "on_conflict"),
    [
        (("relabel", "no", ["a", "c"]), [A, C], "error"),
        (("keep", None, ["b"]), [B, make("unsure", by="d")], "error"),  # who is unsure contradicts nobody
        (("unsure", None, ["d"]), [make("unsure", by="d")], "error"),
        (("keep", None, ["a", "b"]), [make("relabel", by="a", new="yes"), B], "error"),  # the label it has
        (("keep", None, ["a", "b", "c"]), [A, B, C], "keep"),
        (("keep", None, ["b"]), [A, B, C], "latest"),
        (("relabel", "no", ["a", "c"]), [A, B, C], "majority"),
        (("keep", None, ["a", "b"]), [A, B], "majority"),  # a tie leaves the label
        (("keep", None, ["a", "c"]), [A, replace(C, new_label="maybe")], "majority"),
    ],
)
def test_reviewers_who_contradict_each_other_are_settled_as_asked(
    expected: tuple[Any, ...], group: list[Verdict], on_conflict: verdicts.OnConflict
) -> None:
    assert expected == merged(group, on_conflict)


def test_a_contradiction_is_an_error_that_names_who_said_what() -> None:
    group = [A, B, *(replace(v, id=i) for i in (5, 6, 7) for v in (A, B))]
    with pytest.raises(DatamapError) as error:
        verdicts.merge(group, "error")
    said = "a relabel no, b keep"
    expected = f"reviewers contradict each other on 4 examples: id 3: {said}; id 5: {said}; id 6: {said}; …; --on-conflict keep, latest, majority settles it"
    assert expected == str(error.value)
    assert 4 == len(verdicts.merge(group, "keep").conflicts)


VERDICTS = st.builds(
    make,
    st.sampled_from(verdicts.WORDS),
    st.integers(0, 3),
    by=st.sampled_from("abc"),
    at=st.integers(0, 5),
    label=st.just("yes"),
)


def slow(files: list[list[Verdict]]) -> dict[int | str, set[tuple[str, str | None]]]:
    """What those who are sure would do with each id: id by id, reviewer by reviewer."""
    found: dict[int | str, set[tuple[str, str | None]]] = {}
    for identity in range(4):
        for reviewer in "abc":
            last = []
            for number, file in enumerate(files):
                own = [verdict for verdict in file if (verdict.id, verdict.reviewer) == (identity, reviewer)]
                if own:
                    last.append((own[-1].at, number, own[-1]))
            if last and max(last, key=lambda entry: entry[:2])[2].verdict != "undo":
                verdict = max(last, key=lambda entry: entry[:2])[2]
                found.setdefault(identity, set())
                if verdict.verdict != "unsure":
                    found[identity].add((verdict.verdict, verdict.new_label))
    return found


@given(files=st.lists(st.lists(VERDICTS, max_size=12), max_size=3))
def test_a_merge_is_that_of_the_reference(files: list[list[Verdict]]) -> None:
    expected = slow(files)
    outcome = verdicts.merge(verdicts.current(files), "keep")
    assert set(expected) == {decision.id for decision in outcome.decisions}
    assert {identity for identity, deeds in expected.items() if len(deeds) > 1} == {
        group[0].id for group in outcome.conflicts
    }
    for decision in outcome.decisions:
        deeds = expected[decision.id]
        wanted = ("unsure", None) if not deeds else ("keep", None) if len(deeds) > 1 else next(iter(deeds))
        assert wanted == (decision.verdict, decision.new_label)


# ------------------------------------------------------------------------------------------ agreement


def test_agreement_is_the_share_and_cohens_kappa() -> None:
    # of 4 examples they agree on 3; by chance on (3·2 + 1·2) / 16 = 1/2
    ours = [make("keep", i, by="a") for i in range(3)] + [make("relabel", 3, by="a")]
    theirs = [make("keep", i, by="b") for i in range(2)] + [make("relabel", i, by="b") for i in (2, 3)]
    found = verdicts.agreement([*ours, *theirs, make("unsure", 1, by="c"), make("keep", 9, by="c")])
    assert found is not None
    assert (2, 4, 0.75) == (found.reviewers, found.examples, found.share)
    assert 0.5 == pytest.approx(found.kappa)


def test_more_than_two_reviewers_agree_as_their_pairs_do() -> None:
    group = (
        [make("keep", i, by=by) for by in "abc" for i in range(2)]
        + [make("relabel", 2, by=by) for by in "ab"]
        + [make("keep", 2, by="c")]
    )
    found = verdicts.agreement(group)
    assert found is not None
    assert (3, 3) == (found.reviewers, found.examples)
    assert 7 / 9 == pytest.approx(found.share)
    assert (1 + 0 + 0) / 3 == pytest.approx(found.kappa)


def test_agreement_by_one_word_alone_has_no_kappa_and_no_common_example_none_at_all() -> None:
    found = verdicts.agreement([make("keep", by="a"), make("keep", by="b")])
    assert verdicts.Agreement(2, 1, 1.0, None) == found
    assert verdicts.agreement([make("keep", by="a"), make("unsure", by="b"), make("keep", 4, by="c")]) is None


def test_a_decision_names_the_verdicts_it_follows() -> None:
    assert [Decision(3, "keep", "yes", None, (KEEP,))] == verdicts.merge([KEEP], "error").decisions
