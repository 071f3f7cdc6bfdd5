// The page of a finished run: the video with its tracks, the lists, and the repairs.
import { get, post } from "/static/common/api.js";
import { Frames } from "./frames.js";
import { TrackList } from "./list.js";
import { Overlay } from "./overlay.js";
import { Timeline, clock } from "./timeline.js";
import { Why } from "./why.js";

const $ = (id) => document.getElementById(id);
const video = $("video");
const state = { number: 0, now: 0, first: null, second: null, moments: [], moment: -1, hasVideo: false, lastBox: new Map() };
const base = () => `/api/runs/${state.number}`;
let frames, overlay, media = { offset: 0 };

const timeline = new Timeline($("timeline"), (time) => (time === null ? draw() : seek(time)), (id, isSecond) => select(id, isSecond));
const list = new TrackList($("list"), $("rows"), video, (id, isSecond, time) => {
  const current = frames.at(state.now);
  if (!isSecond && !(current && current.boxes.some((box) => box.id === id))) seek(time);
  select(id, isSecond);
});

const why = new Why($("why"), (time) => {
  video.pause();
  seek(time);
}, () => draw());

function say(text, isWarning = false) {
  $("message").textContent = text;
  $("message").className = isWarning ? "warn" : "";
}

async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (error.status === 409) await refresh();
    say(error.message, true);
    return null;
  }
}

// ---- the video

function draw() {
  const frame = frames && frames.at(state.now);
  $("clock").textContent = clock(state.now, 3);
  $("frame").textContent = frame ? frame.index : "-";
  const trail = $("trails").checked ? (id, time, seconds) => frames.trail(id, time, seconds) : null;
  why.show(base(), state.version, state.first, frame, state.now);
  overlay.draw(frame, { first: state.first, second: state.second, trail, drawn: state.drawn, rival: why.rivalBox, regions: $("regions").checked ? state.run.regions : null });
  timeline.draw(state.now, state.first, state.second);
}

function onFrame(_, metadata) {
  state.now = Math.max(0, metadata.mediaTime - media.offset);
  if (!video.paused) timeline.follow(state.now);
  draw();
  video.requestVideoFrameCallback(onFrame);
}

function seek(time) {
  time = Math.max(0, Math.min(time, timeline.duration));
  timeline.follow(time);
  frames.part(time); // its boxes are loaded while the video seeks
  if (state.hasVideo) {
    video.currentTime = time + media.offset + 0.001; // inside of the frame that begins there
  } else {
    state.now = time;
    draw();
  }
}

async function step(count) {
  video.pause();
  const time = await frames.step(state.now, count);
  if (time !== undefined) seek(time);
}

function togglePlay() {
  if (state.hasVideo) video.paused ? video.play() : video.pause();
}

async function openMedia(opening) {
  const number = state.number;
  media = await (opening || get(`${base()}/media`));
  if (media.note) say(media.note);
  state.hasVideo = media.ready;
  if (media.ready) {
    video.src = `${base()}/video`;
    list.setMedia(base(), video.src, media.offset);
    seek(state.now);
  } else if (media.note.includes("being made")) {
    say(`${media.note} (${Math.round(media.progress * 100)} %)`);
    setTimeout(() => number === state.number && attempt(openMedia), 700);
  }
}

// ---- the run

async function openRun(number) {
  Object.assign(state, { number, now: 0, first: null, second: null, moments: [], moment: -1, until: -1 });
  state.lastBox.clear();
  const [about, listing, opening] = [get(base()), get(`${base()}/tracks`), get(`${base()}/media`)]; // at the same time
  for (const answer of [listing, opening]) answer.catch(() => {}); // whose errors are told where they are awaited
  const run = await about;
  state.run = run;
  document.title = run.name;
  $("source").textContent = run.source;
  $("regions").parentElement.hidden = ![run.regions.zones, run.regions.ignore].some((polygons) => Object.keys(polygons).length);
  const size = [run.width || 1920, run.height || 1080];
  overlay = new Overlay($("boxes"), size);
  list.size = size;
  list.base = base();
  timeline.isSet = false;
  frames = new Frames(base(), draw);
  showJournal(run);
  showTracks(await listing, true);
  select(null);
  draw();
  await attempt(() => openMedia(opening));
  document.body.dataset.version = state.version;
  document.body.dataset.ready = "yes";
}

function showTracks(columns, changed) {
  state.columns = columns;
  $("track-count").textContent = columns.id.length;
  list.setTracks(columns, changed);
  timeline.setTracks(columns, Math.max(state.run.duration, ...columns.last_s.slice(-1), 0.1));
}

function showJournal({ version, journal, edits }) {
  state.version = version;
  $("edit-count").textContent = edits || "";
  $("journal").replaceChildren(...journal.map((line) => {
    const entry = document.createElement("div"), about = document.createElement("div");
    entry.className = "entry";
    entry.textContent = line.text;
    about.className = "faint";
    about.textContent = `${line.author}, ${line.time.replace("T", " ").slice(0, 16)}`;
    entry.append(about);
    return entry;
  }).reverse());
  if (!journal.length) $("journal").textContent = "No edits yet.";
}

async function refresh() {
  showJournal(await get(base()));
  await reload();
}

async function reload() {
  frames.clear();
  showTracks(await get(`${base()}/tracks`), true);
  for (const which of ["first", "second"]) if (!state.columns.id.includes(state[which])) state[which] = null;
  select(state.first);
  if (state.moments.length) await findMoments(true);
  draw();
  document.body.dataset.version = state.version;
}

// ---- repairs

function select(id, isSecond = false) {
  if (isSecond && state.first !== null && id !== state.first) state.second = id;
  else if (!isSecond && id !== state.first) [state.first, state.second] = [id, state.second === id ? null : state.second];
  const words = state.first === null ? "no track selected" : state.second === null ? `track ${state.first}` : `tracks ${state.first} and ${state.second}`;
  $("selection").textContent = words;
  for (const button of document.querySelectorAll("[data-verb]")) button.disabled = state.first === null || (["merge", "swap"].includes(button.dataset.verb) && state.second === null);
  list.select(state.first, state.second);
  if (frames) draw();
}

function change(path, body = {}) {
  return attempt(async () => {
    const answer = await post(`${base()}/${path}`, { seen: state.version, ...body });
    say(answer.text);
    if (answer.journal) {
      showJournal(answer);
      await reload();
    }
    return answer;
  });
}

async function repair(verb, isInterpolated = false) {
  const { first, second } = state;
  if (first === null || (["merge", "swap"].includes(verb) && second === null)) {
    say(["merge", "swap"].includes(verb) ? "select two tracks: the second one with Shift" : "select a track first", true);
    return;
  }
  const frame = frames.at(state.now), edit = { verb, ids: ["merge", "swap"].includes(verb) ? [first, second] : [first] };
  if (verb === "split" || verb === "swap") {
    if (!frame) return;
    edit.frame = frame.index;
  }
  if (verb === "box") return startBox(isInterpolated);
  if (verb === "class") edit.category = await ask(`Class of track ${first}`, state.columns.category[state.columns.id.indexOf(first)]);
  if (verb === "rename") edit.new_id = Number(await ask(`New id of track ${first}`, first));
  if ((verb === "class" && !edit.category) || (verb === "rename" && !edit.new_id)) return;
  if (verb === "merge") state.second = null;
  await change("edit", { edit });
}

function ask(label, value) {
  $("ask-label").textContent = label;
  $("ask-value").value = value;
  $("ask").returnValue = "";
  $("ask").showModal();
  $("ask-value").select();
  return new Promise((resolve) => $("ask").addEventListener("close", () => resolve($("ask").returnValue === "ok" ? $("ask-value").value.trim() : ""), { once: true }));
}

// Selects a track by its id, and shows it if it is the first one and not in this frame.
async function chooseTrack(isSecond) {
  const answer = await ask(isSecond ? "Second track" : "Track", "");
  if (!answer) return;
  const id = Number(answer), place = state.columns.id.indexOf(id);
  if (place < 0) return say(`there is no track ${answer}`, true);
  if (isSecond && state.first === null) return say("select a track first", true);
  list.onSelect(id, isSecond, state.columns.first_s[place]);
  list.show(id);
}

async function goToFrame() {
  const answer = await ask("Frame", $("frame").textContent === "-" ? "" : $("frame").textContent);
  if (!answer) return;
  if (!/^\d{1,12}$/.test(answer)) return say(`'${answer}' is no number of a frame`, true);
  const found = await attempt(() => get(`${base()}/frame/${answer}`));
  if (!found) return;
  if (found.time === null) return say(`there is no frame ${answer}`, true);
  video.pause();
  seek(found.time);
}

function startBox(isInterpolated) {
  video.pause();
  state.drawing = { isInterpolated };
  $("stage").classList.add("drawing");
  say(`drag a box for track ${state.first}`);
}

async function endBox(box) {
  const { isInterpolated } = state.drawing, frame = frames.at(state.now), id = state.first;
  stopBox();
  const [x1, x2] = [box[0], box[2]].sort((a, b) => a - b), [y1, y2] = [box[1], box[3]].sort((a, b) => a - b);
  if (!frame || x2 - x1 < 2 || y2 - y1 < 2) return;
  const key = [frame.index, ...[x1, y1, x2, y2].map((value) => Math.round(value * 100) / 100)];
  const earlier = state.lastBox.get(id);
  const keys = isInterpolated && earlier && earlier[0] !== key[0] ? [earlier, key].sort((a, b) => a[0] - b[0]) : [key];
  if (await change("edit", { edit: { verb: "box", ids: [id], keys } })) state.lastBox.set(id, key);
}

function stopBox() {
  state.drawing = state.drawn = null;
  $("stage").classList.remove("drawing");
}

// ---- doubtful moments

async function findMoments(isAgain = false) {
  const after = isAgain ? -1 : state.until;
  if (after === null) return false;
  const answer = await get(`${base()}/moments`, { after, limit: Math.max(50, isAgain ? state.moments.length : 0) });
  state.moments = isAgain ? answer.moments : [...state.moments, ...answer.moments];
  state.until = answer.until;
  if (isAgain) state.moment = state.moments.findIndex((moment) => moment.time >= state.now) - 1;
  showMoments();
  return answer.moments.length > 0;
}

function showMoments() {
  $("moment-list").replaceChildren(...state.moments.map((moment, n) => {
    const button = document.createElement("button"), about = document.createElement("span");
    button.className = `moment${n === state.moment ? " current" : ""}`;
    about.className = "faint";
    about.textContent = `${clock(moment.time, 1)} ${moment.kind}: `;
    button.append(about, moment.text);
    button.addEventListener("click", () => goToMoment(n));
    return button;
  }));
  if (!state.moments.length) $("moment-list").textContent = "Nothing looks doubtful.";
}

async function goToMoment(number) {
  if (number < 0) return;
  if (number >= state.moments.length && !(await attempt(() => findMoments()))) {
    say("no further doubtful moment");
    return;
  }
  state.moment = number;
  const moment = state.moments[number];
  video.pause();
  showMoments();
  const button = $("moment-list").children[number];
  if (button) button.scrollIntoView({ block: "nearest" });
  state.second = null;
  select(moment.ids[0]);
  if (moment.ids.length > 1) select(moment.ids[1], true);
  seek(moment.time);
  say(moment.text);
}

// ---- keys, pointer, controls

function cycle(isSecond, direction) {
  const frame = frames.at(state.now), ids = (frame ? frame.boxes : []).map((box) => box.id).filter((id) => !isSecond || id !== state.first);
  if (!ids.length) return;
  const here = ids.indexOf(isSecond ? state.second : state.first);
  select(ids[(here + direction + ids.length) % ids.length], isSecond);
}

const KEYS = {
  " ": togglePlay,
  ArrowLeft: (event) => (event.shiftKey ? seek(state.now - 1) : step(-1)),
  ArrowRight: (event) => (event.shiftKey ? seek(state.now + 1) : step(1)),
  n: () => goToMoment(state.moment + 1),
  p: () => goToMoment(state.moment - 1),
  "[": () => cycle(false, -1),
  "]": () => cycle(false, 1),
  "{": () => cycle(true, -1),
  "}": () => cycle(true, 1),
  t: (event) => chooseTrack(event.shiftKey),
  g: goToFrame,
  e: () => change("export"),
  w: () => openTab($("why").hidden ? "why" : "tracks"),
  m: () => repair("merge"),
  x: () => repair("swap"),
  s: () => repair("split"),
  c: () => repair("class"),
  r: () => repair("rename"),
  b: (event) => repair("box", event.shiftKey),
  Delete: () => repair("delete"),
  Backspace: () => repair("delete"),
  z: (event) => change(event.shiftKey ? "redo" : "undo"),
  o: () => !$("regions").parentElement.hidden && $("regions").click(),
  "+": () => timeline.zoom(0.5, state.now),
  "-": () => timeline.zoom(2, state.now),
  "?": () => $("help").showModal(),
  Escape: () => {
    stopBox();
    state.second = null;
    select(null);
  },
};

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input[type=search], select") || document.querySelector("dialog[open]");
  const pressesButton = event.target.matches("button, input") && [" ", "Enter"].includes(event.key);
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (isTyping || pressesButton || !action || event.altKey || ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() !== "z")) return;
  event.preventDefault();
  action(event);
});

$("boxes").addEventListener("pointerdown", (event) => {
  if (state.drawing) {
    $("boxes").setPointerCapture(event.pointerId);
    const [x, y] = overlay.toImage(event.offsetX, event.offsetY);
    state.drawn = [x, y, x, y];
    return;
  }
  const hit = overlay.hit(frames.at(state.now), event.offsetX, event.offsetY);
  if (hit) {
    select(hit.id, event.shiftKey);
    list.show(hit.id);
  }
});
$("boxes").addEventListener("pointermove", (event) => {
  if (!state.drawn) return;
  [state.drawn[2], state.drawn[3]] = overlay.toImage(event.offsetX, event.offsetY);
  draw();
});
$("boxes").addEventListener("pointerup", () => state.drawn && endBox(state.drawn));

$("play").addEventListener("click", togglePlay);
$("back").addEventListener("click", () => step(-1));
$("forward").addEventListener("click", () => step(1));
$("undo").addEventListener("click", () => change("undo"));
$("redo").addEventListener("click", () => change("redo"));
$("export").addEventListener("click", () => change("export"));
$("next").addEventListener("click", () => goToMoment(state.moment + 1));
$("previous").addEventListener("click", () => goToMoment(state.moment - 1));
$("help-button").addEventListener("click", () => $("help").showModal());
$("trails").addEventListener("change", draw);
$("regions").addEventListener("change", draw);
$("rate").addEventListener("change", () => (video.playbackRate = parseFloat($("rate").value)));
$("filter").addEventListener("input", () => list.arrange($("filter").value));
$("sort").addEventListener("change", () => list.arrange(undefined, $("sort").value));
for (const button of document.querySelectorAll("[data-verb]")) button.addEventListener("click", (event) => repair(button.dataset.verb, event.shiftKey));
function openTab(name) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.setAttribute("aria-selected", String(tab.dataset.tab === name));
    $(tab.dataset.tab).hidden = tab.dataset.tab !== name;
  }
  if (name === "moments" && !state.moments.length) attempt(() => findMoments(true));
  if (frames) draw();
}
for (const tab of document.querySelectorAll("[role=tab]")) tab.addEventListener("click", () => openTab(tab.dataset.tab));
video.addEventListener("play", () => ($("play").textContent = "❚❚"));
video.addEventListener("pause", () => ($("play").textContent = "▶"));
video.addEventListener("loadedmetadata", () => {
  overlay.aspect = video.videoWidth / video.videoHeight;
  video.playbackRate = parseFloat($("rate").value);
});
video.addEventListener("error", () => say("the browser cannot play this video", true));
video.requestVideoFrameCallback(onFrame);
new ResizeObserver(() => overlay && frames && draw()).observe($("stage"));
window.addEventListener("focus", async () => {
  const run = state.run && (await attempt(() => get(base())));
  if (run && run.version !== state.version) await attempt(refresh);
});
$("runs").addEventListener("change", () => attempt(() => openRun($("runs").selectedIndex)));

await attempt(async () => {
  const names = await get("/api/runs");
  $("runs").replaceChildren(...names.map((name) => new Option(name)));
  await openRun(0);
});
