"""The lock whose threads take turns: nobody waits for more than one turn of each other thread."""

import threading

import pytest

from cnnzoo.core.fair_lock import FairLock


def test_a_thread_in_a_loop_lets_every_other_have_its_turn():
    """With `threading.Lock`, the loop usually takes the lock again before the others wake up."""
    lock, order, waiting = FairLock(), [], threading.Barrier(4)

    def wait(name):
        waiting.wait()
        with lock:
            order.append(name)

    threads = [threading.Thread(target=wait, args=(name,)) for name in "abc"]
    with lock:
        for thread in threads:
            thread.start()
        waiting.wait()
        while len(lock._turns) < 3:
            threading.Event().wait(0.001)
        order.append("loop")
    with lock:
        order.append("loop")
    for thread in threads:
        thread.join(30)
    assert order[0] == order[-1] == "loop"
    assert sorted(order[1:-1]) == ["a", "b", "c"]


def test_only_one_thread_at_a_time_is_inside():
    lock, inside, most = FairLock(), [], []

    def work():
        for _ in range(200):
            with lock:
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert max(most) == 1
    assert len(most) == 1600


def test_an_error_inside_frees_the_lock():
    lock = FairLock()
    with pytest.raises(ValueError, match="inside"), lock:
        raise ValueError("inside")
    with lock:
        pass


@pytest.mark.parametrize("is_next", [False, True], ids=["while it waits", "as its turn comes"])
def test_a_thread_that_is_interrupted_gives_its_place_away(is_next, monkeypatch):
    lock, real = FairLock(), threading.Lock

    class Interrupted:
        """The lock of a turn, which Ctrl-C interrupts."""

        def __init__(self):
            self.lock, self.calls = real(), 0

        def acquire(self):
            self.calls += 1
            if self.calls == 1:
                return self.lock.acquire()
            if is_next:
                lock.__exit__()  # hands the lock over
            raise KeyboardInterrupt

        def release(self):
            self.lock.release()

    lock.__enter__()
    monkeypatch.setattr(threading, "Lock", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        lock.__enter__()
    monkeypatch.undo()
    if not is_next:
        lock.__exit__()
    with lock:
        assert not lock._turns
