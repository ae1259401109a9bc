"""The script of pages, in a real browser: it runs under the page's policy, and sorts tables as it says."""

import json
import re
import shutil
import subprocess

import pytest

from cnnzoo.core.pages import SCRIPT, SCRIPT_HASH

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom")
ROWS = [("class 10", "1,200", "9.5 %"), ("class 9", "30", ""), ("a", "-4", "80 %"), ("b", "1e3", "100 %")]
HEADERS = '<thead><tr><th class="words">class</th><th>images</th><th>share</th></tr></thead>'
FIXED = '<tr class="fixed"><td>all</td><td>7</td><td>1 %</td></tr>'
OTHER = "<table><thead><tr><th>a</th></tr></thead></table>"
# Clicks on headers, and tells the first cells of all rows and the states of the headers after each click
CLICKS = """<script>
const told = [], table = document.querySelector("table"), buttons = document.querySelectorAll("button");
for (const column of [0, 0, 0, 1, 1, 2]) {
  buttons[column].click();
  told.push([[...table.tBodies[0].rows].map((row) => row.cells[0].textContent),
             [...table.tHead.rows[0].cells].map((cell) => cell.getAttribute("aria-sort"))]);
}
document.body.append(Object.assign(document.createElement("pre"), { textContent: JSON.stringify(told) }));
</script>"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="Chromium or Chrome is not installed")]


def open_page(path, policy, end=""):
    """Return the document that a browser makes of a page with a table and the script."""
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in ROWS)
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    table = f'<table class="sortable">{HEADERS}<tbody>{rows}{FIXED}</tbody></table>{OTHER}'
    path.write_text(f"<!doctype html>{meta}<body>{table}<script>{SCRIPT}</script>{end}", encoding="utf-8")
    done = subprocess.run([BROWSER, *OPTIONS, path.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def test_the_policy_of_a_page_permits_its_script_and_no_other(tmp_path):
    shown = open_page(tmp_path / "page.html", f"default-src 'none'; script-src '{SCRIPT_HASH}'", CLICKS)
    assert shown.count('<button type="button"') == 3, "one for each column of the sortable table"
    assert "<pre>" not in shown, "the second script did not run"


def test_clicks_sort_by_numbers_and_by_names_and_restore_the_order(tmp_path):
    shown = open_page(tmp_path / "page.html", "script-src 'unsafe-inline'", CLICKS)
    told = json.loads(re.search("<pre>(.*)</pre>", shown)[1])
    given = ["class 10", "class 9", "a", "b", "all"]
    names = ["a", "b", "class 9", "class 10"]
    assert told == [
        [[*names, "all"], ["ascending", None, None]],
        [[*reversed(names), "all"], ["descending", None, None]],
        [given, [None, None, None]],
        [["class 10", "b", "class 9", "a", "all"], [None, "descending", None]],
        [["a", "class 9", "b", "class 10", "all"], [None, "ascending", None]],
        [["b", "a", "class 10", "class 9", "all"], [None, None, "descending"]],
    ], "empty cells are last"
