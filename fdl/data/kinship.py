"""Hinton's two family trees: who is whose what, worked out from marriages and children.

https://www.cs.toronto.edu/~hinton/absps/families.pdf (1986); the names are those of the paper.
"""

from itertools import chain

import numpy as np

from fdl.data.sources import Examples

ENGLISH = {  # husband and wife: their children
    ("Christopher", "Penelope"): ("Arthur", "Victoria"),
    ("Andrew", "Christine"): ("James", "Jennifer"),
    ("Arthur", "Margaret"): (),
    ("James", "Victoria"): ("Colin", "Charlotte"),
    ("Charles", "Jennifer"): (),
}
ITALIAN = {
    ("Roberto", "Maria"): ("Emilio", "Lucia"),
    ("Pierro", "Francesca"): ("Marco", "Angela"),
    ("Emilio", "Gina"): (),
    ("Marco", "Lucia"): ("Alfonso", "Sophia"),
    ("Tomaso", "Angela"): (),
}
FAMILIES = ENGLISH | ITALIAN
PEOPLE = tuple(dict.fromkeys(chain.from_iterable(couple + children for couple, children in FAMILIES.items())))
WOMEN = {wife for _, wife in FAMILIES} | {children[1] for children in FAMILIES.values() if children}
KINDS = (  # of a man, of a woman
    ("father", "mother"),
    ("husband", "wife"),
    ("son", "daughter"),
    ("uncle", "aunt"),
    ("brother", "sister"),
    ("nephew", "niece"),
)
RELATIONS = tuple(chain.from_iterable(KINDS))


def family_trees() -> Examples:
    """The 104 questions that have an answer, and their answers, 112 in all.

    person int32 (104,), a place in PEOPLE, first the 12 English ones; relation int32 (104,), a place in RELATIONS;
    answer float32 (104, 24), 1 for everybody who is that to the person.
    """
    questions = [(person, relation) for person in PEOPLE for relation in RELATIONS if relatives(person, relation)]
    answer = [[other in relatives(*question) for other in PEOPLE] for question in questions]
    return {
        "person": np.array([PEOPLE.index(person) for person, _ in questions], np.int32),
        "relation": np.array([RELATIONS.index(relation) for _, relation in questions], np.int32),
        "answer": np.array(answer, np.float32),
    }


def relatives(person: str, relation: str) -> set[str]:
    """Everybody who is that to the person: relatives("Colin", "aunt") is Jennifer and Margaret."""
    kind = next(pair for pair in KINDS if relation in pair)
    kin = {
        "father": _parents,
        "husband": _spouses,
        "son": _children,
        "uncle": _elders,
        "brother": _siblings,
        "nephew": _juniors,
    }[kind[0]](person)
    return kin & WOMEN if relation == kind[1] else kin - WOMEN


def _parents(person: str) -> set[str]:
    return {parent for couple, children in FAMILIES.items() if person in children for parent in couple}


def _children(person: str) -> set[str]:
    return {child for couple, children in FAMILIES.items() if person in couple for child in children}


def _spouses(person: str) -> set[str]:
    return {one for couple in FAMILIES if person in couple for one in couple} - {person}


def _siblings(person: str) -> set[str]:
    return {child for parent in _parents(person) for child in _children(parent)} - {person}


def _elders(person: str) -> set[str]:
    """The siblings of the parents, and whom they married."""
    own = {sibling for parent in _parents(person) for sibling in _siblings(parent)}
    return own | {spouse for elder in own for spouse in _spouses(elder)}


def _juniors(person: str) -> set[str]:
    return {other for other in PEOPLE if person in _elders(other)}
