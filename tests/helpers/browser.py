"""Chromium without a window, driven over its DevTools protocol through a pipe: no package and no port is needed."""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)
SECONDS = 60  # for one answer, or one condition
HIGH = 20  # file numbers that are in nobody's way


class Browser:
    """A browser with one page.

    Attributes:
        requests: the addresses that pages have asked for.
        problems: what the console of the page holds: errors, and violations of its policy.
        choosers: ids of the inputs whose dialogs were opened, once they are intercepted.
    """

    def __init__(self, folder):
        """Start the browser; `folder` is for its profile and for downloads."""
        self.folder, self.requests, self.problems, self.choosers = folder, [], [], []
        commands, answers = os.pipe(), os.pipe()
        ours = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH) for fd in (commands[1], answers[0])]
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH) for fd in (commands[0], answers[1])]
        for fd in (*commands, *answers):
            os.close(fd)
        log = os.open(folder / "chromium.log", os.O_WRONLY | os.O_CREAT, 0o600)
        actions = [
            (os.POSIX_SPAWN_DUP2, source, target)
            for source, target in zip((*theirs, log, log), (3, 4, 1, 2), strict=True)
        ]
        arguments = [BROWSER, *OPTIONS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        self.process = os.posix_spawn(BROWSER, arguments, os.environ, file_actions=actions, setpgroup=0)
        for fd in (*theirs, log):
            os.close(fd)
        self.write_fd, self.read_fd = ours
        self.buffer, self.number, self.answers, self.session = b"", 0, {}, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def call(self, method, **parameters):
        """Return the answer to one command."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self.session
        os.write(self.write_fd, json.dumps(message).encode() + b"\0")
        limit = time.monotonic() + SECONDS
        while self.number not in self.answers:
            assert time.monotonic() < limit, f"no answer to {method}"
            self.read(limit - time.monotonic())
        answer = self.answers.pop(self.number)
        assert "error" not in answer, f"{method}: {answer.get('error')}"
        return answer["result"]

    def read(self, seconds):
        """Read what the browser has sent within some seconds."""
        if not select.select([self.read_fd], [], [], max(seconds, 0))[0]:
            return
        self.buffer += os.read(self.read_fd, 1 << 20)
        *messages, self.buffer = self.buffer.split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self.answers[message["id"]] = message
            else:
                self.note(message["method"], message["params"])

    def note(self, method, parameters):
        """Keep what the tests ask for of an event."""
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Log.entryAdded" and parameters["entry"]["source"] != "network":
            self.problems.append(parameters["entry"]["text"])
        elif method == "Page.fileChooserOpened":
            self.choosers.append(parameters["backendNodeId"])
        elif method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(parameters["exceptionDetails"]))

    def run(self, script):
        """Return the value of a JavaScript expression, or of the promise that it is."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition):
        """Wait until a JavaScript expression is true."""
        limit = time.monotonic() + SECONDS
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < limit, f"never true: {condition}\n{self.run('document.body.innerText')}"
            self.read(0.02)

    def open(self, address, width=1280, height=900, dark=False, is_phone=False):
        """Open an address in a window of a size, with a theme."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_phone
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=is_phone)
        theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=theme)
        self.call("Page.navigate", url=address)
        self.wait(f"document.readyState === 'complete' && location.href.startsWith({json.dumps(address)})")

    def press(self, key, text="", shift=False):
        """Press and release a key; `text` is what it types."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowDown": 40, "ArrowUp": 38}
        text = {"Enter": "\r", " ": " "}.get(key, text)
        values = {
            "modifiers": 8 if shift else 0,
            "key": key,
            "code": key,
            "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper())),
        }
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **values)
        self.call("Input.dispatchKeyEvent", type="keyUp", **values)

    def set_files(self, selector, paths):
        """Choose files for an input of a page, as its dialog does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def drop_files(self, paths, x=200, y=200):
        """Drop files on a page, as a file manager does."""
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def take_picture(self, path):
        """Write a picture of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self):
        """End the browser and its children."""
        try:
            self.call("Browser.close")
        finally:
            os.close(self.write_fd)
            os.close(self.read_fd)
            limit = time.monotonic() + 10
            while not os.waitpid(self.process, os.WNOHANG)[0]:
                if time.monotonic() > limit:
                    os.killpg(self.process, signal.SIGKILL)
                    os.waitpid(self.process, 0)
                    break
                time.sleep(0.05)
