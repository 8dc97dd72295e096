"""The words that the project does not use, with what to write in their place, and where they are allowed anyway."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Where(Enum):
    """The kinds of text that are checked."""

    NAME = "name"
    PROSE = "prose"


@dataclass(frozen=True, slots=True)
class Rule:
    """Some words, where they are not used, and what to write instead."""

    words: frozenset[str]
    where: frozenset[Where]
    advice: str


@dataclass(frozen=True, slots=True)
class Allowance:
    """A legitimate use of a word: `context` has to match the line at the place of the word."""

    word: str
    context: re.Pattern[str]
    reason: str


def _rule(words: str, advice: str, *where: Where) -> Rule:
    return Rule(frozenset(words.replace("_", " ").split(",")), frozenset(where or (Where.NAME, Where.PROSE)), advice)


RULES: Final = (
    # Operations do not talk.
    _rule("say,says,said,saying,unsaid", "state, report, show, name, contain"),
    _rule("tell,tells,told,telling,untold", "report, return, send, state, distinguish"),
    _rule("hear,hears,heard,hearing,unheard", "receive, observe, get"),
    _rule("ask,asks,asked,asking,unasked", "request, query, call, check, prompt"),
    _rule("speak,speaks,spoke,spoken,speaking", "use, communicate, concern"),
    # Rare and archaic words.
    _rule("whoever,whomever,whosoever", "the caller, the user, a service that ..., anybody who"),
    _rule("whatever,whichever_way", "any, each, regardless of"),
    _rule("anew", "again, new"),
    _rule("mend,mends,mended,mending", "fix, repair; for a field of a message: hint"),
    _rule("deed,deeds", "action"),
    _rule("lay,lays,laid,laying,lain", "stage, store, place, write"),
    _rule("thereof,hither,thither,whence,lest", "a complete sentence"),
    _rule("stand,stands,stood", "is, is in, is stored in", Where.PROSE),
    _rule("lie,lies", "is, is in, is stored in", Where.PROSE),
    _rule("of_its_own,of_their_own,of_our_own,of_his_own,of_one's_own", "own, separate, its own ...", Where.PROSE),
    _rule("pass_over,passes_over,passed_over,passing_over", "skip, ignore"),
    _rule("talk,talks,talked,talking", "connect, communicate, send requests", Where.PROSE),
    _rule("calls_itself,own_words", "has the name, its text", Where.PROSE),
    _rule("let_in,lets_in,turned_away", "accept, admit, refuse, deny", Where.PROSE),
    _rule("is_away,are_away", "is unavailable, does not answer", Where.PROSE),
    _rule("what_becomes_of,what_became_of", "the result, the decision", Where.PROSE),
    _rule("innocent,blame,blames,blamed", "harmless, cause, candidate", Where.PROSE),
    _rule("shall", "must, has to, will", Where.PROSE),
    # Names that only this project knows.
    _rule("doorkeeper", "authentication middleware"),
    _rule("nursery", "zygote client"),
    _rule("keeper,keepers", "supervisor"),
    _rule("sayings", "service log monitor"),
    _rule("incarnation,incarnations", "runner session"),
    _rule("teller", "renderer, handler"),
    _rule("verdict,verdicts", "exit reason, outcome, result"),
    _rule("leftover,leftovers", "orphan process, remaining file"),
    _rule("workplace", "dependencies"),
    _rule("standing,standings", "detailed status", Where.NAME),
    _rule("moments", "point in time", Where.NAME),
    _rule("silences", "failure detector", Where.NAME),
    _rule("happening", "runner input, event", Where.NAME),
    _rule("accuse,accused,convict,convicted,suspect,suspects", "candidate, quarantined", Where.NAME),
)

WHOLE_NAMES: Final = {
    "each": "the item's own noun",
    "pieces": "chunks, parts",
    "portion": "batch",
    "shown": "display, displayed text",
    "most": "limit, maximum",
    "doors": "access settings",
    "room": "disk space, capacity",
}
"""Names that are fine as part of another name and mean nothing alone."""

ALLOWANCES: Final = (
    Allowance("tell", re.compile(r"(?:\.|def )tell\("), "a method of Python's file objects"),
    Allowance("whence", re.compile(r"\bwhence\b"), "a parameter of `seek`, a method of Python's file objects"),
    Allowance("standing", re.compile(r"long[-_ ]standing"), "an ordinary adjective"),
    Allowance("passes over", re.compile(r"a few passes over"), "a noun: iterations"),
)


def _phrases(where: Where) -> dict[str, str]:
    return {word: rule.advice for rule in RULES if where in rule.where for word in rule.words}


IN_NAMES: Final = _phrases(Where.NAME)
IN_PROSE: Final = _phrases(Where.PROSE)
PROSE_PATTERN: Final = re.compile(
    r"(?<![\w-])(?:"
    + "|".join(sorted((re.escape(word).replace(r"\ ", r"\s+") for word in IN_PROSE), key=len, reverse=True))
    + r")(?![\w-])",
    re.IGNORECASE,
)
