"""The page that explains every kind of problem."""

from penstock_gateway.http.problem_page import page
from penstock_gateway.http.problems import kinds


def test_every_kind_has_a_section_that_its_type_leads_to() -> None:
    written = page()
    for kind in kinds():
        assert written.count(f'<section id="{kind.slug}">') == 1
        assert f"{kind.status} {kind.slug}" in written
    assert written.count("<section ") == written.count("</section>")


def test_the_page_names_how_long_to_wait() -> None:
    waiting = [kind for kind in kinds() if kind.retry_after_s is not None]
    assert waiting
    for kind in waiting:
        assert f"<code>Retry-After</code>: {kind.retry_after_s} seconds." in page()
