// The panel that explains the selected track: what was decided in the frame that is shown, and its whole account.
import { get } from "/static/common/api.js";
import { clock } from "./timeline.js";

const SECONDS = 10; // of one request
const KEPT = 20; // answers in memory

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

export class Why {
  constructor(panel, onSeek, onLoad) {
    this.panel = panel;
    this.onSeek = onSeek;
    this.onLoad = onLoad;
    this.answers = new Map();
    this.rivalBox = null; // of the likeliest other detection
  }

  // Shows the account of a track, and the decision in a frame; nothing is asked for while the panel is hidden.
  show(base, version, track, frame, time) {
    this.rivalBox = null;
    if (this.panel.hidden) return;
    if (track === null) {
      this.owner = null;
      this.fill("none", () => [element("p", "Select a track to see why it is as it is.", "faint")]);
      return;
    }
    const owner = `${base} ${version} ${track}`, part = Math.floor(time / SECONDS), key = `${owner} ${part}`;
    const answer = this.answer(key, `${base}/why/${track}`, part);
    if (!answer) {
      if (this.owner !== owner) this.fill(`${owner} waits`, () => [element("p", `Tracking again, to explain track ${track} ...`, "faint")]);
      return;
    }
    this.owner = owner;
    if (answer.problem) {
      this.fill(answer.problem, () => [element("p", answer.problem, "warn")]);
      return;
    }
    const now = frame ? answer.frames[frame.index] : null;
    this.rivalBox = now ? now.other : null;
    this.fill(`${key} ${frame ? frame.index : ""}`, () => this.content(answer, now, frame, time));
  }

  answer(key, path, part) {
    const known = this.answers.get(key);
    if (!known) {
      this.answers.set(key, "loading");
      const asked = get(path, { start: part * SECONDS, end: (part + 1) * SECONDS });
      asked.catch((error) => ({ problem: error.message })).then((found) => {
        if (found.superseded) {
          this.answers.delete(key); // asked for again with the next frame or track that is shown
          return;
        }
        this.answers.set(key, found);
        while (this.answers.size > KEPT) this.answers.delete(this.answers.keys().next().value);
        this.onLoad();
      });
    }
    return known && known !== "loading" ? known : null;
  }

  fill(key, make) {
    if (key === this.key) return;
    this.key = key;
    const top = this.panel.scrollTop;
    this.panel.replaceChildren(...make());
    this.panel.scrollTop = top;
  }

  content(answer, now, frame, time) {
    const here = element("div", "", "now");
    here.append(element("h3", frame ? `Frame ${frame.index}, ${frame.time.toFixed(2)} s` : "This frame"));
    if (now && now.table.length) here.append(this.table(now.table));
    for (const text of now ? now.texts : ["Nothing was decided about this track in this frame."]) here.append(element("p", text));
    const list = document.createElement("ol");
    for (const line of answer.lines) {
      const item = element("li", "", line.start <= time + 0.001 && time <= line.end + 0.001 ? "current" : ""), button = element("button");
      button.append(element("span", `${clock(line.start, 2)}${line.end > line.start ? ` to ${clock(line.end, 2)}` : ""} `, "faint"), line.text);
      button.addEventListener("click", () => this.onSeek(line.start));
      item.append(button);
      list.append(item);
    }
    return [element("p", answer.heading), ...answer.edits.map((text) => element("p", text, "faint")), here, list];
  }

  table(rows) {
    const table = document.createElement("table");
    rows.forEach((cells, n) => {
      const row = document.createElement("tr");
      row.append(...cells.map((text) => element(n ? "td" : "th", text)));
      table.append(row);
    });
    return table;
  }
}
