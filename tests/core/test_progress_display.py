"""The progress display, with a clock that the tests turn and a stream that they read."""

import io
import itertools
import sys

import pytest

from cnnzoo.core import progress as progress_module
from cnnzoo.core.progress import Board, Progress, show_progress
from cnnzoo.core.progress_displays import shown_on


class Clock:
    def __init__(self):
        self.tenths = 1000

    def __call__(self):
        return self.tenths / 10


class Screen(io.StringIO):
    def isatty(self):
        return True


class Bench:
    """A board with a clock of its own."""

    def __init__(self, stream):
        self.clock, self.stream = Clock(), stream
        self.board = Board(self.clock, stream, threaded=False)

    def begin(self, activity, total=None, unit="", verbose=True, done=0):
        return Progress(activity, total, unit, verbose, done, self.board)

    def wait(self, seconds):
        """Let time pass, with the updates that the thread makes meanwhile."""
        for _ in range(round(seconds * 10)):
            self.clock.tenths += 1
            self.board.refresh()

    def lines(self):
        return self.stream.getvalue().splitlines()


@pytest.fixture
def log():
    return Bench(io.StringIO())


def test_short_work_shows_nothing(log):
    with log.begin("Loading the model"):
        log.wait(1.9)
    assert not log.lines()


def test_a_single_long_call_is_told_of_at_once_and_then_every_four_seconds(log):
    with log.begin("Converting to LiteRT"):
        log.wait(85)
    seconds = [int(line.split()[-4]) for line in log.lines()[:-1]]
    gaps = {later - earlier for earlier, later in itertools.pairwise(seconds)}
    assert log.lines()[0] == "Converting to LiteRT: 2 s so far"
    assert gaps <= {4, 5}
    assert log.lines()[-1] == "Converting to LiteRT: done in 85 s"


def test_hours_in_a_log_get_a_line_every_half_minute(log):
    with log.begin("Training", 1000):
        log.wait(4000)
        lines = len(log.lines())
        log.wait(600)
    assert 19 <= len(log.lines()) - lines <= 22


def test_the_estimate_leaves_out_the_first_step_which_compiles(log):
    with log.begin("Computing features", 540, "images") as work:
        log.wait(3)
        work.advance(60)
        for _ in range(4):
            log.wait(1)
            work.advance(60)
    assert log.lines() == [
        "Computing features: 0/540 images, 2 s so far",
        "Computing features: 180/540 images, 5 s left",
        "Computing features: 300/540 images in 7 s",
    ]


def test_work_of_earlier_processes_is_not_in_the_rate(log):
    with log.begin("Training", 100, "steps", done=90) as work:
        log.wait(1)
        work.advance()
        assert work.status() == "91/100 steps, 9 s left"


def test_bytes_have_a_rate(log):
    with log.begin("Downloading", 46_000_000, "bytes") as work:
        log.wait(2)
        work.set_done(10_000_000)
        assert work.status() == "10.0/46.0 MB, 5.0 MB/s, 8 s left"


def test_long_estimates_are_in_minutes_and_hours(log):
    with log.begin("Training", 1000, "steps") as work:
        log.wait(10)
        work.advance()
        assert work.status() == "1/1,000 steps, 2 h 46 min left"


def test_not_verbose_shows_nothing_of_calls_inside_either(log):
    with log.begin("Fine-tuning", verbose=False):
        with log.begin("Computing features", 10) as work:
            log.wait(60)
            work.advance()
        work.say("a line")
    assert not log.lines()
    with log.begin("Evaluating"):
        log.wait(2)
    assert log.lines() == ["Evaluating: 2 s so far", "Evaluating: done in 2 s"]


def test_a_log_tells_of_the_innermost_work(log):
    with log.begin("Exporting"):
        log.wait(3)
        with log.begin("Converting"):
            log.wait(8)
    assert [line.split(":")[0] for line in log.lines()] == ["Exporting", *["Converting"] * 3, "Exporting"]


def test_work_that_consists_of_other_work_is_not_told_of_between(log):
    with log.begin("Exporting"):
        for activity in ("Converting", "Comparing"):
            with log.begin(activity):
                log.wait(3)
            log.wait(1)
    assert [line.split(":")[0] for line in log.lines()] == [*["Converting"] * 2, *["Comparing"] * 2]


def test_a_failure_says_no_summary(log):
    with pytest.raises(KeyboardInterrupt), log.begin("Converting"):
        log.wait(2)
        raise KeyboardInterrupt
    assert log.lines() == ["Converting: 2 s so far"]


def test_names_of_files_do_not_act_on_the_terminal(log):
    with log.begin("Reading a\x1b[2J.jpg") as work:
        work.describe("Reading b\x1b[2J.jpg")
        log.wait(2)
    assert "\x1b" not in log.stream.getvalue()


def test_a_terminal_has_bars_that_disappear(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    bench = Bench(Screen())
    with pytest.raises(RuntimeError), bench.begin("Training", 10, "steps") as work:
        bench.wait(1)
        assert not bench.stream.getvalue()
        work.advance(4)
        with bench.begin("Evaluating"):
            bench.wait(3)
        work.say("epoch 1")
        screen = bench.stream.getvalue()
        raise RuntimeError
    assert "Training" in screen and "4/10 steps" in screen and "Evaluating" in screen and "epoch 1" in screen
    erase_line, show_cursor = "\x1b[2K", "\x1b[?25h"
    end = bench.stream.getvalue()[-30:].replace("\r", "").replace("\n", "")  # rich 13 ends with both
    assert end.endswith(erase_line + show_cursor)


def test_results_go_to_their_file_while_a_terminal_shows_a_bar(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    bench = Bench(Screen())
    with bench.begin("Evaluating"):
        bench.wait(3)
        print("a result")
    assert capsys.readouterr().out == "a result\n"


def test_a_notebook_has_one_line(monkeypatch):
    shown = []

    class Handle:
        def update(self, content, raw):
            shown[-1] = content["text/plain"]

    class Notebook:
        def get_ipython(self):
            return self

        kernel = True

    def display(content, raw, display_id):
        shown.append(content["text/plain"])
        return Handle()

    notebook = Notebook()
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", notebook)
    notebook.display = display
    bench = Bench(None)
    with bench.begin("Computing features", 4, "images") as work:
        bench.wait(3)
        work.advance(4)
    assert shown == ["Computing features: 4/4 images in 3 s"]


def test_lines_reach_the_real_stderr_while_that_of_the_process_is_held_back(tmp_path, capsys):
    """As it is while TensorFlow is imported."""
    bench = Bench(None)
    with (tmp_path / "terminal").open("w") as terminal, shown_on(terminal.fileno()), bench.begin("Importing Keras"):
        bench.wait(2)
    assert (tmp_path / "terminal").read_text().startswith("Importing Keras: 2 s so far\n")
    assert not capsys.readouterr().err


def test_the_thread_covers_a_call_that_returns_late(monkeypatch, capsys):
    monkeypatch.setattr(progress_module, "DELAY", 0.0)
    monkeypatch.setattr(progress_module, "REFRESH_INTERVAL", 0.001)
    with show_progress("Converting"):
        line = ""
        while not line:
            line = capsys.readouterr().err
    assert line.startswith("Converting: ")
    assert progress_module._board._thread is None


def test_a_closed_stderr_stops_no_work(monkeypatch, log):
    with log.begin("Converting"):
        log.stream.close()
        log.wait(10)
