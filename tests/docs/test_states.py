"""The diagram of a job's life is what `decide` and `evolve` do, and what they do has the shape of a life."""

import re
from collections import deque

from tools.reference import FOLDER
from tools.reference.states import START, walk

from penstock_schemas.jobs import JobState

ARROW = re.compile(r"^ {4}(\S+) --> (\S+?)(?:: (\w+))?$", re.MULTILINE)


def drawn() -> set[tuple[str, str, str]]:
    page = (FOLDER / "states.md").read_text()
    diagram = page.split("```mermaid")[1].split("```")[0]
    return {(source, target, event) for source, target, event in ARROW.findall(diagram)}


def test_the_diagram_has_an_arrow_for_each_transition_and_no_other() -> None:
    steps, _ = walk()
    ends = {(state.value, START, "") for state in JobState if state.is_terminal}
    assert drawn() == {(step.source, step.target, step.event) for step in steps} | ends


def test_every_state_is_reached() -> None:
    reached: set[str] = set()
    todo = deque([START])
    while todo:
        source = todo.popleft()
        targets = {target for origin, target, event in drawn() if origin == source and event}
        todo.extend(targets - reached)
        reached |= targets
    assert reached == {state.value for state in JobState}


def test_every_state_leads_to_an_end_and_no_end_leads_on() -> None:
    terminal = {state.value for state in JobState if state.is_terminal}
    leads = {source: {t for s, t, event in drawn() if s == source and event} for source, _, _ in drawn()}
    assert all(not leads[state] for state in terminal)
    for state in JobState:
        seen, todo = {state.value}, deque([state.value])
        while todo:
            new = leads[todo.popleft()] - seen
            seen |= new
            todo.extend(new)
        assert seen & terminal
