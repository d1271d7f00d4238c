from __future__ import annotations

import math

import pytest

from appliance.engines.recognizers.ngram import arpa, count

SENTENCES = [(("yes", "i", "do"), 3.0), (("no",), 2.0), (("yes",), 1.0)]
FILLERS = {"the": 2.0, "dog": 1.0}


def sections(text: str) -> dict[int, dict[tuple[str, ...], tuple[float, float]]]:
    """Order -> words -> (probability, back-off weight)."""
    out: dict[int, dict[tuple[str, ...], tuple[float, float]]] = {1: {}, 2: {}, 3: {}}
    order = 0
    for line in text.splitlines():
        if line.endswith("-grams:"):
            order = int(line[1])
        elif order and "\t" in line:
            log, words, *back = line.split("\t")
            out[order][tuple(words.split())] = (10 ** float(log), 10 ** float(back[0]) if back else 1.0)
    return out


def probability(model: dict[int, dict[tuple[str, ...], tuple[float, float]]], *words: str) -> float:
    """As a back-off model is read."""
    if words in model[len(words)]:
        return model[len(words)][words][0]
    if len(words) == 1:
        return 0.0
    back = model[len(words) - 1].get(words[:-1], (0.0, 1.0))[1]
    return back * probability(model, *words[1:])


@pytest.fixture(scope="module")
def model() -> dict[int, dict[tuple[str, ...], tuple[float, float]]]:
    return sections(arpa([(count(SENTENCES), 1.0)], FILLERS, 0.2))


@pytest.mark.parametrize("history", [(), ("<s>",), ("yes",), ("<s>", "yes"), ("yes", "i"), ("the",), ("dog", "no")])
def test_probabilities_after_any_history_add_up_to_one(
    model: dict[int, dict[tuple[str, ...], tuple[float, float]]], history: tuple[str, ...]
) -> None:
    words = [w for (w,) in model[1] if w != "<s>"]
    assert math.isclose(sum(probability(model, *history, w) for w in words), 1.0, abs_tol=2e-3)


def test_what_was_said_more_often_is_likelier(model: dict[int, dict[tuple[str, ...], tuple[float, float]]]) -> None:
    assert probability(model, "<s>", "yes") > probability(model, "<s>", "no") > probability(model, "<s>", "dog") > 0


def test_parts_are_mixed_by_weight() -> None:
    yes, no = count([(("yes",), 1.0)]), count([(("no",), 1.0)])
    mixed = sections(arpa([(yes, 3.0), (no, 1.0)], FILLERS, 0.1))
    assert probability(mixed, "yes") == pytest.approx(3 * probability(mixed, "no"), rel=1e-3)


def test_the_head_counts_what_follows() -> None:
    text = arpa([(count(SENTENCES), 1.0)], FILLERS, 0.2)
    model = sections(text)
    for order in (1, 2, 3):
        assert f"ngram {order}={len(model[order])}" in text
    assert text.endswith("\\end\\\n")
