// The page of the server: takes photos, sends them in groups, and shows the answers.
// Texts of the server and names of files are set by textContent only, so that none of them is taken for HTML.
"use strict";
{
  const GROUP_PHOTOS = 16, GROUP_BYTES = 16e6;  // of one request, at most; the server may allow less
  const FORM_BYTES = 1000;  // of a form, for each photo, beside its content
  const MOST_CLASSES = 20, RETRIES = 5, LONGEST_PAUSE = 30;  // seconds
  const POLL_SECONDS = 2, MOST_POLLS = 100;  // for a server that starts
  const MOST_PHOTOS = 2000, FOLDER_DEPTH = 8;
  const THUMBNAIL = 320, FEW_PIXELS = 64;  // photos of fewer pixels are enlarged without blur
  const KEY = "cnnzoo-key";

  const find = (id) => document.getElementById(id);
  const list = find("photos");
  let server = null, key = recall(), photos = [], pasted = 0;
  let running = null;  // the AbortController of what is being sent
  let groupSize = GROUP_PHOTOS, answered = 0, total = 0;

  // ---- The key is kept until the tab is closed

  function recall() {
    try { return sessionStorage.getItem(KEY) ?? ""; } catch { return ""; }
  }

  function keep(value) {
    key = value;
    try { sessionStorage.setItem(KEY, value); } catch { /* private windows of some browsers */ }
  }

  // ---- Requests

  class Problem extends Error {
    constructor(status, message, seconds) {
      super(message);
      Object.assign(this, { status, seconds });
    }
  }

  async function send(path, options = {}) {
    const headers = { Accept: "application/json" };
    if (key) headers["X-API-Key"] = key;
    let response, body = null;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "same-origin" });
      body = await response.json().catch(() => null);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "The server cannot be reached. Is it still running?");
    }
    if (response.ok && body) return body;
    if (response.status === 422 && body?.results) return body;
    const seconds = Math.min(Number(response.headers.get("Retry-After")) || 1, LONGEST_PAUSE);
    throw new Problem(response.status, body?.error ?? `The server answered with status ${response.status}.`, seconds);
  }

  function pause(seconds, signal) {
    return new Promise((resolve, reject) => {
      const stop = () => { clearTimeout(timer); reject(new DOMException("cancelled", "AbortError")); };
      const timer = setTimeout(() => { signal?.removeEventListener("abort", stop); resolve(); }, 1000 * seconds);
      signal?.addEventListener("abort", stop, { once: true });
    });
  }

  // Sends a request again, a few times, while the server is busy
  async function sendPatiently(path, options, tell) {
    for (let attempt = 1; ; attempt++) {
      try {
        return await send(path, options());
      } catch (error) {
        if (error.status !== 503) throw error;
        if (attempt > RETRIES) throw new Problem(503, `The server is still busy after ${RETRIES + 1} attempts. Try again later.`);
        const when = error.seconds === 1 ? "in 1 second" : `in ${error.seconds} seconds`;
        tell(`The server is busy. Trying again ${when} (attempt ${attempt + 1} of ${RETRIES + 1}).`);
        await pause(error.seconds, options().signal);
      }
    }
  }

  // ---- The models

  async function openServer(attempt = 1) {
    find("about").textContent = "Asking the server for its models ...";
    try {
      server = await send("v1/models");
    } catch (error) {
      find("about").textContent = error.status === 401 ? "Enter the key of this server to begin." : error.message;
      if (error.status === 401) askForKey(key ? "This is not the key of this server." : "");
      else if (attempt < MOST_POLLS) { await pause(POLL_SECONDS); openServer(attempt + 1); }
      else find("about").textContent = `${error.message} Reload this page to try again.`;
      return;
    }
    find("key-form").hidden = true;
    const before = find("model").value;
    find("model").replaceChildren(...server.models.map((model) => new Option(model.name, model.name)));
    if (server.models.some((model) => model.name === before)) find("model").value = before;
    find("model-label").hidden = server.models.length < 2;
    find("limits").textContent = `Photos of at most ${megabytes(server.limits.image_bytes)} and ${Math.round(server.limits.pixels / 1e6)} megapixels. They are sent to this server, which does not store them.`;
    describeModel();
    run();
    if (server.models.some((model) => !model.ready) && attempt < MOST_POLLS) { await pause(POLL_SECONDS); openServer(attempt + 1); }
  }

  function askForKey(problem) {
    server = null;
    find("key-form").hidden = false;
    find("key-error").textContent = problem;
    find("key").focus();
  }

  const megabytes = (bytes) => bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${Number((bytes / 1e6).toFixed(1))} MB`;
  const currentModel = () => server?.models.find((model) => model.name === find("model").value);

  function describeModel() {
    const model = currentModel();
    const { height, width } = model.input;
    const loading = model.ready ? "" : " It is being loaded.";
    find("about").textContent = `${model.name}: ${model.classes.length.toLocaleString("en")} classes, ${model.network} on ${model.runtime}.${loading}`;
    const facts = { ...model.facts, network: `${model.network}, ${model.runtime}, ${model.precision}`, "images are": `${model.images}, ${width} x ${height} pixels` };
    find("facts").replaceChildren(...Object.entries(facts).flatMap(([name, text]) => [create("dt", name), create("dd", text)]));
    find("classes").hidden = false;
    find("classes").querySelector("summary").textContent = `All ${model.classes.length.toLocaleString("en")} classes`;
    find("classes").querySelector("p").textContent = model.classes.join(", ");
  }

  function create(tag, text = "", name = "") {
    const element = document.createElement(tag);
    element.textContent = text;
    if (name) element.className = name;
    return element;
  }

  // ---- Photos

  function addFiles(files) {
    const room = MOST_PHOTOS - photos.length, added = [...files].slice(0, Math.max(room, 0));
    for (const file of added) addPhoto(file);
    if (added.length < files.length) tell(`This page takes ${MOST_PHOTOS.toLocaleString("en")} photos; ${files.length - added.length} were left out. For more, use cnnzoo predict.`);
    else if (!files.length) tell("There are no files in that.");
    run();
    refresh();
  }

  function addPhoto(file) {
    const element = find("photo").content.firstElementChild.cloneNode(true);
    const part = (selector) => element.querySelector(selector);
    const photo = { file, name: file.name || "photo", element, part, state: "waiting", classes: [], model: "", drawn: null, map: null };
    part("h3").textContent = photo.name;
    part("h3").title = photo.name;
    part(".remove").setAttribute("aria-label", `Remove ${photo.name}`);
    part(".explain").setAttribute("aria-label", `Heat map of ${photo.name}`);
    part(".again").setAttribute("aria-label", `Try ${photo.name} again`);
    part(".remove").addEventListener("click", () => remove(photo));
    part(".again").addEventListener("click", () => { photo.state = "waiting"; run(); refresh(); });
    part(".explain").addEventListener("click", () => toggleMap(photo));
    part("select").addEventListener("change", () => explain(photo));
    photos.push(photo);
    show(photo);
    list.append(element);
    photo.drawn = drawing = drawing.then(() => draw(photo));  // one after another, as a photo may have many megabytes
  }

  function remove(photo) {
    photo.map?.abort();
    const next = photo.element.nextElementSibling ?? photo.element.previousElementSibling;
    photos = photos.filter((other) => other !== photo);
    photo.state = "removed";
    photo.element.remove();
    (next?.querySelector(".remove") ?? find("choose")).focus();
    refresh();
  }

  let drawing = Promise.resolve();

  async function draw(photo) {
    if (photo.state === "removed") return;
    const frame = photo.part(".thumbnail");
    try {
      const bitmap = await createImageBitmap(photo.file);
      const scale = Math.min(1, THUMBNAIL / Math.max(bitmap.width, bitmap.height));
      const canvas = document.createElement("canvas");
      canvas.width = Math.max(1, Math.round(bitmap.width * scale));
      canvas.height = Math.max(1, Math.round(bitmap.height * scale));
      canvas.className = Math.max(bitmap.width, bitmap.height) <= FEW_PIXELS ? "pixelated" : "";
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", photo.name);
      canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      photo.shape = [bitmap.width, bitmap.height];
      bitmap.close();
      frame.replaceChildren(canvas);
    } catch {  // no image, or of a format that browsers do not show
      const [, ending = ""] = /\.([^.]{1,5})$/.exec(photo.name) ?? [];
      frame.replaceChildren(create("span", `${ending.toUpperCase()} no preview`.trim()));
    }
  }

  // ---- Answers

  const STATES = { waiting: "Waiting ...", sending: "Sending ...", cancelled: "Cancelled." };

  function show(photo) {
    const { part, state } = photo, shown = Number(find("top").value);
    const model = server?.models.find((other) => other.name === photo.model);
    const isUnsure = state === "answered" && model?.min_probability && photo.classes[0].probability < model.min_probability;
    const isOpen = state === "waiting" || state === "sending";
    photo.element.setAttribute("aria-busy", isOpen);
    const words = isOpen ? "" : STATES[state] ?? (state === "failed" ? photo.problem : "");
    part(".state").textContent = isUnsure ? "Unsure: this probability is low for this model." : words;
    part(".state").className = `state${state === "failed" ? " error" : ""}${isUnsure ? " unsure" : ""}`;
    part(".state").classList.toggle("reserved", Boolean(currentModel()?.min_probability));  // the line of unsure answers
    part(".again").hidden = state !== "failed" && state !== "cancelled";
    part(".explain").disabled = state !== "answered";
    part(".explain").hidden = !part(".again").hidden;
    const hasBars = state !== "failed" && state !== "cancelled";
    const bars = photo.classes.slice(0, shown).map(makeBar(photo.classes));
    const count = Math.min(shown, currentModel()?.classes.length ?? shown);
    while (hasBars && bars.length < count) bars.push(create("li", bars.length ? "" : STATES[state], "bar empty"));  // so that nothing moves later
    part(".bars").replaceChildren(...bars);
  }

  function makeBar(classes) {
    let decimals = 1;  // more where the likeliest would read 100 % without being that
    while (classes[0]?.probability < 1 && Number((100 * classes[0].probability).toFixed(decimals)) === 100 && decimals < 6) decimals++;
    return ({ class: name, probability }) => {
      const bar = create("li", "", "bar"), fill = document.createElement("i");
      fill.style.width = `${100 * probability}%`;
      bar.append(fill, create("span", name), create("b", `${(100 * probability).toFixed(decimals)}\u00a0%`));
      return bar;
    };
  }

  function fail(photo, problem) {
    Object.assign(photo, { state: "failed", problem, classes: [] });
    show(photo);
  }

  function tell(text) {
    find("status").textContent = text;
  }

  function refresh() {
    const counts = {};
    for (const { state } of photos) counts[state] = (counts[state] ?? 0) + 1;
    const open = (counts.waiting ?? 0) + (counts.sending ?? 0), failed = (counts.failed ?? 0) + (counts.cancelled ?? 0);
    find("cancel").disabled = !running && !open;
    find("retry").disabled = !failed;
    find("csv").disabled = !(counts.answered || counts.failed);
    find("clear").disabled = !photos.length;
    find("progress").max = photos.length || 1;
    find("progress").value = photos.length - open;
    return { answered: counts.answered ?? 0, failed: counts.failed ?? 0, cancelled: counts.cancelled ?? 0, open };
  }

  const photosText = (count) => `${count.toLocaleString("en")} photo${count === 1 ? "" : "s"}`;

  function tellCounts() {
    const { answered: done, failed, cancelled, open } = refresh();
    const parts = [`${photosText(done)} classified`];
    if (open) parts.push(`${open} to go`);
    if (failed) parts.push(`${failed} failed`);
    if (cancelled) parts.push(`${cancelled} cancelled`);
    const [only] = photos, isOne = photos.length === 1 && only.state === "answered";
    const first = isOne ? ` ${only.name}: ${only.classes[0].class}, ${Math.round(100 * only.classes[0].probability)} %.` : "";
    tell(photos.length ? `${parts.join(", ")}.${first}` : "");
  }

  // ---- Sending

  async function run() {
    if (running || !server) return;
    running = new AbortController();
    const { signal } = running;
    groupSize = GROUP_PHOTOS;
    try {
      for (let group; server && !signal.aborted && (group = await takeGroup(signal)).length;) {
        await classify(group, signal);
        if (server && !signal.aborted) tellCounts();
      }
    } finally {
      running = null;
      if (!server) refresh();
      else if (photos.some(({ state }) => state === "waiting")) run();  // they came, or their model was changed, meanwhile
      else tellCounts();
    }
  }

  // Takes the next photos that fit into a request; those that cannot be sent fail
  async function takeGroup(signal) {
    const { images, image_bytes, request_bytes } = server.limits;
    const group = [];
    let bytes = FORM_BYTES;
    for (const photo of photos) {
      if (photo.state !== "waiting") continue;
      if (group.length >= Math.min(groupSize, images)) break;
      const size = photo.file.size;
      if (size > image_bytes) { fail(photo, `The file has ${megabytes(size)}; this server takes at most ${megabytes(image_bytes)}.`); continue; }
      if (!size) { fail(photo, "The file is empty."); continue; }
      if (group.length && bytes + size + FORM_BYTES > Math.min(request_bytes, GROUP_BYTES)) break;
      try {
        photo.content = new Blob([await photo.file.arrayBuffer()]);
      } catch {
        fail(photo, "The file cannot be read. Is it a folder, or was it moved?");
        continue;
      }
      if (signal.aborted || photo.state !== "waiting") continue;
      photo.state = "sending";
      show(photo);
      group.push(photo);
      bytes += size + FORM_BYTES;
    }
    return signal.aborted ? [] : group;
  }

  async function classify(group, signal) {
    const model = currentModel().name;
    const options = () => {
      const body = new FormData();
      body.append("model", model);
      body.append("top", String(MOST_CLASSES));
      for (const { content, name } of group) body.append("file", content, name);
      return { method: "POST", body, signal };
    };
    const open = photos.filter(({ state }) => state === "waiting" || state === "sending").length;
    tell(`Sending ${photosText(group.length)}${open > group.length ? ` of ${open}` : ""} ...`);
    try {
      const { results } = await sendPatiently("predict", options, tell);
      group.forEach((photo, i) => {
        if (photo.state !== "sending") return;
        if (results[i].error) return fail(photo, results[i].error);
        Object.assign(photo, { state: "answered", classes: results[i].classes, model });
        show(photo);
      });
    } catch (error) {
      const mine = group.filter(({ state }) => state === "sending");
      if (error.name === "AbortError") setAll(mine, "cancelled");
      else if (error.status === 401) { setAll(mine, "waiting"); askForKey("The server asks for its key."); }
      else if ([413, 504].includes(error.status) && group.length > 1) {
        groupSize = Math.ceil(group.length / 2);
        setAll(mine, "waiting");
        tell(`${error.message} Sending fewer photos at a time.`);
      } else {
        const isGone = error.status === 0 || error.status === 503;  // the others would fail as well
        for (const photo of isGone ? photos.filter(({ state }) => state === "sending" || state === "waiting") : mine) fail(photo, error.message);
      }
    } finally {
      for (const photo of group) delete photo.content;
    }
  }

  function setAll(some, state) {
    for (const photo of some) { photo.state = state; show(photo); }
  }

  function cancel() {
    running?.abort();
    setAll(photos.filter(({ state }) => state === "waiting"), "cancelled");
    tellCounts();
  }

  // ---- Heat maps

  function toggleMap(photo) {
    const area = photo.part(".map"), opens = area.hidden;
    area.hidden = !opens;
    photo.part(".explain").setAttribute("aria-expanded", opens);
    photo.map?.abort();
    if (!opens) return;
    photo.part("select").replaceChildren(...photo.classes.map(({ class: name }) => new Option(name, name)));
    explain(photo);
  }

  function closeMap(photo) {
    photo.map?.abort();
    photo.part(".map").hidden = true;
    photo.part(".explain").setAttribute("aria-expanded", "false");
  }

  async function explain(photo) {
    photo.map?.abort();
    const controller = photo.map = new AbortController(), { signal } = controller;
    const frame = photo.part(".overlay"), meaning = photo.part(".meaning"), target = photo.part("select").value;
    const [width, height] = photo.shape ?? [1, 1];
    frame.style.aspectRatio = `${width} / ${height}`;
    frame.replaceChildren(create("span", "Computing ...", "muted"));
    const { method, predictions } = server?.models.find(({ name }) => name === photo.model)?.explanation ?? {};
    meaning.textContent = `This takes as long as ${method === "occlusion" ? "about " : ""}${predictions} predictions${method === "occlusion" ? ": the photo is classified again and again with another part covered" : ""}.`;
    const options = () => {
      const body = new FormData();
      body.append("model", photo.model);
      body.append("target", target);
      body.append("file", photo.file, photo.name);
      return { method: "POST", body, signal };
    };
    const begin = performance.now();
    try {
      const answer = await sendPatiently("explain", options, (text) => { meaning.textContent = text; });
      if (!/^data:image\/(png|jpeg);base64,/.test(answer.overlay)) throw new Problem(0, "The server sent no picture.");
      const picture = document.createElement("img");
      picture.alt = `Heat map of ${photo.name} for ${answer.target}`;
      picture.src = answer.overlay;
      picture.className = Math.max(width, height) <= FEW_PIXELS ? "pixelated" : "";
      frame.replaceChildren(picture);
      const how = answer.method === "occlusion" ? "Yellow parts matter most: covering them lowers the probability of" : "Yellow parts speak most for";
      const what = answer.evidence ? `${how} ${answer.target}` : `Nothing in the photo speaks for ${answer.target}`;
      const seconds = (performance.now() - begin) / 1000;
      const time = seconds < 0.05 ? "less than 0.1" : seconds.toFixed(1);
      meaning.textContent = `${what} (${(100 * answer.score).toFixed(1)}\u00a0%). It took ${time}\u00a0s.`;
    } catch (error) {
      if (error.name === "AbortError") return;
      frame.replaceChildren(create("span", "No heat map", "muted"));
      meaning.textContent = error.message;
      if (error.status === 401) askForKey("The server asks for its key.");
    }
  }

  // ---- The answers as a table, as `cnnzoo predict` writes it

  function makeCsv() {
    const done = photos.filter(({ state }) => state === "answered" || state === "failed");
    const shown = Math.max(1, ...done.map(({ classes }) => Math.min(classes.length, Number(find("top").value))));
    const header = ["path", "error", "model"];
    for (let i = 1; i <= shown; i++) header.push(`class_${i}`, `probability_${i}`);
    const rows = done.map(({ name, problem, state, model, classes }) => {
      const cells = [name, state === "failed" ? problem : "", state === "failed" ? "" : model];
      for (let i = 0; i < shown; i++) cells.push(classes[i]?.class ?? "", classes[i]?.probability ?? "");
      return cells;
    });
    return "\ufeff" + [header, ...rows].map((row) => row.map(quote).join(",") + "\r\n").join("");
  }

  // No spreadsheet takes the cell for a formula
  function quote(value) {
    let text = String(value);
    const isNumber = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text);
    if (!isNumber && /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function downloadCsv() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([makeCsv()], { type: "text/csv" }));
    link.download = "predictions.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  // ---- Dropped folders

  async function readEntries(entries, depth, files) {
    for (const entry of entries) {
      if (files.length >= MOST_PHOTOS) return;
      if (entry.isFile) {
        const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
        if (file) files.push(file);
      } else if (entry.isDirectory && depth < FOLDER_DEPTH) {
        const reader = entry.createReader();
        for (let part; (part = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])))).length;) {
          await readEntries(part.filter(({ name }) => !name.startsWith(".")), depth + 1, files);
          if (files.length >= MOST_PHOTOS) return;
        }
      }
    }
  }

  async function takeDropped(transfer) {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    if (!entries.some((entry) => entry.isDirectory)) return addFiles(transfer.files);
    const files = [];
    await readEntries(entries, 0, files);
    addFiles(files);
  }

  // ---- What a person does

  const hasFiles = (event) => [...event.dataTransfer?.types ?? []].includes("Files");
  find("choose").addEventListener("click", () => find("files").click());
  find("take").addEventListener("click", () => find("camera").click());
  for (const input of [find("files"), find("camera")]) {
    input.addEventListener("change", () => { addFiles([...input.files]); input.value = ""; });
  }
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dragging");
    if (!hasFiles(event)) return;
    event.preventDefault();
    takeDropped(event.dataTransfer);
  });
  document.addEventListener("paste", (event) => {
    if (event.target.closest?.("input")) return;
    const files = [...event.clipboardData?.files ?? []];
    if (!files.length) return tell("The clipboard holds no photo.");
    // Browsers call every pasted picture image.png
    addFiles(files.map((file) => file.name === "image.png" ? new File([file], `pasted ${++pasted}.png`, { type: file.type }) : file));
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !find("cancel").disabled) cancel(); });
  find("cancel").addEventListener("click", cancel);
  find("retry").addEventListener("click", () => {
    setAll(photos.filter(({ state }) => state === "failed" || state === "cancelled"), "waiting");
    run();
    refresh();
  });
  find("csv").addEventListener("click", downloadCsv);
  find("clear").addEventListener("click", () => {
    running?.abort();
    for (const photo of photos) { photo.map?.abort(); photo.state = "removed"; }
    photos = [];
    list.replaceChildren();
    tellCounts();
    find("choose").focus();
  });
  find("top").addEventListener("change", () => photos.forEach(show));
  find("model").addEventListener("change", () => {
    describeModel();
    running?.abort();
    for (const photo of photos) { closeMap(photo); photo.classes = []; }
    setAll(photos, "waiting");
    run();
    refresh();
  });
  find("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const value = find("key").value.trim();
    if (!/^[\x21-\x7e]+$/.test(value)) { find("key-error").textContent = "A key has letters, digits and signs of ASCII, without spaces."; return; }
    keep(value);
    find("key").value = "";
    openServer();
  });
  openServer();
}
