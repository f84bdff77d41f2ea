"""The family trees: how many questions and answers there are, and whose aunt is whose."""

import numpy as np

from fdl.data import family_trees
from fdl.data.kinship import PEOPLE, RELATIONS, relatives


def test_there_are_104_questions_and_112_answers():
    asked = family_trees()
    assert len(PEOPLE) == 24
    assert len(RELATIONS) == 12
    assert asked["answer"].shape == (104, 24)
    assert asked["answer"].sum() == 112
    assert len(set(zip(asked["person"].tolist(), asked["relation"].tolist()))) == 104


def test_each_relation_is_asked_as_often_as_the_trees_have_it():
    asked = family_trees()
    count = dict(zip(RELATIONS, np.bincount(asked["relation"]).tolist()))
    one_tree = {"father": 6, "mother": 6, "husband": 5, "wife": 5, "son": 6, "daughter": 6}
    one_tree |= {"uncle": 2, "aunt": 2, "brother": 3, "sister": 3, "nephew": 4, "niece": 4}
    assert count == {relation: 2 * times for relation, times in one_tree.items()}


def test_known_answers():
    assert relatives("Colin", "aunt") == {"Jennifer", "Margaret"}
    assert relatives("Charlotte", "uncle") == {"Arthur", "Charles"}
    assert relatives("Margaret", "nephew") == {"Colin"}
    assert relatives("Alfonso", "mother") == {"Lucia"}
    assert relatives("James", "brother") == set()
    assert relatives("Sophia", "brother") == {"Alfonso"}


def test_nobody_is_related_across_the_trees_and_relations_are_mutual():
    asked = family_trees()
    english = np.arange(24) < 12
    person, other = np.nonzero(asked["answer"])[0], np.nonzero(asked["answer"])[1]
    assert (english[asked["person"][person]] == english[other]).all()
    back = {("father", "mother"): {"son", "daughter"}, ("uncle", "aunt"): {"nephew", "niece"}}
    for kinds, inverse in back.items():
        for one in PEOPLE:
            for kind in kinds:
                for elder in relatives(one, kind):
                    assert any(one in relatives(elder, relation) for relation in inverse)
