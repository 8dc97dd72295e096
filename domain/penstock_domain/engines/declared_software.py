"""Software that workflow files declare, by their text: known before anything of a workflow runs.

A text shows lines of rules that a run may not need, and not those of files from elsewhere. So nothing is refused here:
the run itself decides when it knows its rules.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_schemas.jobs import MAX_DECLARED, DeclaredSoftware

MAX_PATH_CHARS: Final = 300
"""Of a path; a file with a longer one is not looked at."""
MAX_RULE_CHARS: Final = 100


def declarations_in(engine: EngineDescriptor, path: str, text: str) -> Iterator[DeclaredSoftware]:
    """Yield the lines of a file that declare software or variables."""
    software = engine.software
    if software is None or not engine.is_workflow_file(path) or len(path) > MAX_PATH_CHARS or not path.isprintable():
        return
    in_rule, in_workflow, rule_begins = map(re.compile, (software.in_rule, software.in_workflow, software.rule))
    rule: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        begun = rule_begins.match(line) if software.rule else None
        if begun:
            rule = begun[1][:MAX_RULE_CHARS] or None
        elif match := in_rule.match(line):
            yield DeclaredSoftware(directive=match[1], path=path, line=number, rule=rule)
        elif match := in_workflow.match(line):
            yield DeclaredSoftware(directive=match[1], path=path, line=number)


def listed(declarations: Iterable[DeclaredSoftware]) -> tuple[DeclaredSoftware, ...]:
    """Return the first declaration of each rule and directive, at most `MAX_DECLARED`, in their order.

    The first one of every directive is among them.
    """
    firsts: dict[tuple[str, str | None, str], DeclaredSoftware] = {}
    for item in declarations:
        firsts.setdefault((item.path, item.rule, item.directive), item)
    of_directive: dict[str, DeclaredSoftware] = {}
    for item in firsts.values():
        of_directive.setdefault(item.directive, item)
    kept = set(list(dict.fromkeys((*of_directive.values(), *firsts.values())))[:MAX_DECLARED])
    return tuple(item for item in firsts.values() if item in kept)
