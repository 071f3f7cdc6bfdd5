// The page of `track live`: a card for each source. State comes once a second, pictures as H.264 or else as Motion JPEG.
import { get } from "/static/common/api.js";
import { play } from "/static/live/video.js";

const POLL = 1000; // milliseconds between two questions for the state
const MOST_EVENTS = 200; // in the list of a source
const cards = new Map();
const problem = document.getElementById("problem");
let events;

function tell(text) {
  problem.textContent = text;
  problem.hidden = !text;
}

function makeCard(name) {
  const card = document.getElementById("camera").content.firstElementChild.cloneNode(true);
  card.querySelector("h2").textContent = name;
  card.dataset.name = name;
  for (const picture of card.querySelectorAll("video, img")) {
    picture.ariaLabel = picture.alt = `live picture of ${name}; Enter shows it on the whole screen`;
    const enlarge = () => (document.fullscreenElement ? document.exitFullscreen() : picture.requestFullscreen());
    picture.addEventListener("keydown", (event) => event.key === "Enter" && enlarge());
    picture.addEventListener("dblclick", enlarge);
  }
  document.getElementById("cameras").append(card);
  cards.set(name, card);
  showPicture(card);
  return card;
}

function showPicture(card) {
  const [video, image] = [card.querySelector("video"), card.querySelector("img")];
  const path = `/cameras/${encodeURIComponent(card.dataset.name)}`;
  const show = (shown, text) => {
    [video.hidden, image.hidden] = [shown !== video, shown !== image];
    card.dataset.picture = text;
  };
  clearTimeout(card.retry);
  card.stop?.();
  image.removeAttribute("src");
  image.onerror = () => (card.retry = setTimeout(showPicture, POLL, card));
  show(video, "H.264");
  card.stop = play(video, `${path}/video`, (reason, hasPlayed) => {
    if (hasPlayed) return void (card.retry = setTimeout(showPicture, POLL, card));
    // A new address each time: the browser would go on with the connection that broke off.
    image.src = `${path}/picture.mjpeg?${Date.now()}`;
    show(image, `Motion JPEG: ${reason}`);
  });
}

function numbers(state, picture) {
  const dropped = Object.entries(state.dropped || {}).filter(([, count]) => count);
  const hour = Object.entries(state.last_hour).map(([name, count]) => `${count} ${name}`);
  return {
    "frames a second": state.frames_per_s.toFixed(1),
    "delay": `${state.lag_s.toFixed(2)} s`,
    "tracks now": state.tracks_live,
    "new tracks in the last hour": hour.join(", ") || "none",
    "frames": `${state.processed ?? 0} of ${state.captured ?? 0}`,
    "dropped": dropped.map(([reason, count]) => `${count} ${reason}`).join(", ") || "none",
    "reconnects": state.reconnects ?? 0,
    "picture": picture,
    "size": state.width ? `${state.width} × ${state.height}` : "–",
  };
}

function update(state) {
  const card = cards.get(state.name) || makeCard(state.name);
  const badge = card.querySelector(".state");
  badge.textContent = state.error && state.state !== "running" ? `${state.state} (${state.error})` : state.state;
  badge.dataset.state = state.state;
  const message = card.querySelector(".message");
  message.textContent = state.message;
  message.hidden = !state.message;
  const overlay = card.querySelector(".overlay");
  overlay.hidden = state.state === "running";
  overlay.textContent = state.latest_s === null ? state.state : `${state.state}: the picture is ${state.latest_s.toFixed(0)} s old`;
  const list = card.querySelector("dl");
  list.replaceChildren(...Object.entries(numbers(state, card.dataset.picture)).flatMap(([name, value]) => {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    text.textContent = value;
    const pair = document.createElement("div");
    pair.append(term, text);
    return [pair];
  }));
}

function addEvent(event) {
  const card = cards.get(event.camera);
  if (!card) return;
  const line = document.createElement("li");
  const text = event.track ? event.text : `${event.event}: ${event.text}`;
  line.textContent = `${new Date(event.datetime).toLocaleTimeString()} ${text}`;
  const list = card.querySelector(".events");
  list.prepend(line);
  while (list.children.length > MOST_EVENTS) list.lastElementChild.remove();
}

function listen() {
  events?.close();
  for (const list of document.querySelectorAll(".events")) list.replaceChildren();
  events = new EventSource("/api/events");
  events.onmessage = (message) => addEvent(JSON.parse(message.data));
}

async function poll() {
  try {
    const states = await get("/api/cameras", {}, AbortSignal.timeout(5 * POLL));
    const isBack = !problem.hidden;
    states.forEach(update);
    if (isBack) cards.forEach(showPicture);
    if (isBack || !events) listen();
    tell("");
  } catch (error) {
    tell(error.status ? error.message : "the server does not answer; this page tries again");
  }
  setTimeout(poll, POLL);
}

poll();
