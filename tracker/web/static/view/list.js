// The list of tracks: only the visible rows are in the page; thumbnails are taken from a second copy of the video.
import { get } from "/static/common/api.js";
import { color } from "./overlay.js";
import { clock } from "./timeline.js";

const HEIGHT = 56;

export class TrackList {
  // Thumbnails wait while the player seeks.
  constructor(list, rows, player, onSelect) {
    this.list = list;
    this.player = player;
    this.rows = rows;
    this.onSelect = onSelect;
    this.order = [];
    this.thumbnails = new Map();
    list.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(list);
  }

  setMedia(base, url, offset) {
    this.base = base;
    this.offset = offset;
    this.video = document.createElement("video");
    this.video.muted = true;
    this.video.preload = "auto";
    this.video.src = url;
    this.draw();
  }

  setTracks(columns, changed) {
    this.columns = columns;
    if (changed) this.thumbnails.clear();
    this.arrange();
  }

  arrange(filter = this.filter || "", sort = this.sort || "first_s") {
    [this.filter, this.sort] = [filter, sort];
    if (!this.columns) return;
    const { id, category } = this.columns, values = this.columns[sort] || id, wanted = filter.trim().toLowerCase();
    this.order = id.map((_, n) => n).filter((n) => !wanted || String(id[n]) === wanted || category[n].toLowerCase().includes(wanted));
    this.order.sort((a, b) => (values[a] < values[b] ? -1 : values[a] > values[b] ? 1 : id[a] - id[b]));
    this.rows.style.height = `${this.order.length * HEIGHT}px`;
    this.draw();
  }

  select(first, second) {
    [this.first, this.second] = [first, second];
    this.draw();
  }

  // Scrolls to a track, if it is not visible.
  show(id) {
    const place = this.order.findIndex((n) => this.columns.id[n] === id) * HEIGHT;
    if (place >= 0 && (place < this.list.scrollTop || place > this.list.scrollTop + this.list.clientHeight - HEIGHT)) this.list.scrollTop = place - HEIGHT;
  }

  draw() {
    if (!this.columns) return;
    const start = Math.max(0, Math.floor(this.list.scrollTop / HEIGHT) - 2), end = start + Math.ceil(this.list.clientHeight / HEIGHT) + 4;
    this.visible = this.order.slice(start, end).map((n) => this.columns.id[n]);
    this.rows.replaceChildren(...this.order.slice(start, end).map((n, place) => this.row(n, (start + place) * HEIGHT)));
    this.fill();
  }

  row(n, top) {
    const { id, category, first_s, last_s, frames } = this.columns;
    const row = document.createElement("div");
    row.className = `track${id[n] === this.first ? " first" : id[n] === this.second ? " second" : ""}`;
    row.style.top = `${top}px`;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(id[n] === this.first));
    const image = document.createElement("canvas");
    [image.width, image.height] = [72, 96];
    const known = this.thumbnails.get(id[n]);
    if (known && known !== "loading") image.getContext("2d").drawImage(known, 0, 0);
    const words = document.createElement("span"), name = document.createElement("b"), about = document.createElement("span");
    name.textContent = `${id[n]} ${category[n]}`;
    name.style.borderBottom = `3px solid ${color(id[n])}`;
    about.className = "faint";
    about.textContent = `${clock(first_s[n], 1)} to ${clock(last_s[n], 1)}, ${frames[n]} frames`;
    words.append(name, document.createElement("br"), about);
    row.append(image, words);
    row.addEventListener("click", (event) => this.onSelect(id[n], event.shiftKey, first_s[n]));
    return row;
  }

  async fill() {
    if (this.busy || !this.video) return;
    this.busy = true;
    try {
      for (let id; (id = this.visible.find((one) => !this.thumbnails.has(one))) !== undefined;) {
        if (this.player.seeking) await new Promise((resolve) => this.player.addEventListener("seeked", resolve, { once: true }));
        this.thumbnails.set(id, "loading");
        const image = await this.take(id);
        if (image) this.thumbnails.set(id, image);
        this.draw();
      }
    } catch {
      this.video = null; // the video is gone, of which the player tells
    } finally {
      this.busy = false;
    }
  }

  async take(id) {
    const best = await get(`${this.base}/best/${id}`);
    if (!best) return null; // it was edited away meanwhile
    const { video } = this;
    await new Promise((resolve, reject) => {
      video.addEventListener("seeked", resolve, { once: true });
      video.addEventListener("error", reject, { once: true });
      video.currentTime = best.time + this.offset + 0.001;
    });
    const image = document.createElement("canvas");
    [image.width, image.height] = [72, 96];
    const [x1, y1, x2, y2] = best.box, scaleX = video.videoWidth / this.size[0], scaleY = video.videoHeight / this.size[1];
    const [w, h] = [(x2 - x1) * scaleX, (y2 - y1) * scaleY], scale = Math.min(72 / w, 96 / h);
    image.getContext("2d").drawImage(video, x1 * scaleX, y1 * scaleY, w, h, (72 - w * scale) / 2, (96 - h * scale) / 2, w * scale, h * scale);
    return image;
  }
}
