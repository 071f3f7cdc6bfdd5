// The frames of a run and their boxes, loaded a few seconds at a time.
import { get } from "/static/common/api.js";

const SECONDS = 10; // of one request
const KEPT = 40; // parts in memory

export class Frames {
  constructor(base, onLoad) {
    this.base = base;
    this.onLoad = onLoad;
    this.parts = new Map();
  }

  clear() {
    this.parts.clear();
  }

  // Returns the part that a time belongs to; null while it is loaded.
  part(time) {
    const number = Math.max(0, Math.floor(time / SECONDS));
    const part = this.parts.get(number);
    if (!part) this.load(number);
    else if (part.times) {
      this.parts.delete(number);
      this.parts.set(number, part); // the latest ones last
      if (time - number * SECONDS > SECONDS / 2 && !this.parts.has(number + 1)) this.load(number + 1);
    }
    return part && part.times ? part : null;
  }

  async load(number) {
    const parts = this.parts;
    if (parts.has(number)) return parts.get(number).loading;
    const entry = {};
    parts.set(number, entry);
    entry.loading = get(`${this.base}/window`, { start: number * SECONDS, end: (number + 1) * SECONDS }).then((answer) => {
      if (parts.get(number) !== entry) return;
      Object.assign(entry, index(answer));
      while (parts.size > KEPT) parts.delete(parts.keys().next().value);
      this.onLoad();
    }, (error) => {
      parts.delete(number);
      throw error;
    });
    return entry.loading;
  }

  // Returns the frame that is shown at a time: the last one that begins before it, or very soon after it.
  at(time) {
    const part = this.part(time);
    if (!part) return null;
    let found = nearest(part.times, time);
    if (found >= 0) return { index: part.frames[found], time: part.times[found], boxes: part.byFrame.get(part.frames[found]) || [] };
    if (time < SECONDS) return null; // before the first frame that is known
    const before = this.part(Math.max(0, (Math.floor(time / SECONDS) - 1) * SECONDS)); // a frame that is shown for long
    const last = before && before.times.length - 1;
    if (!before || last < 0) return null;
    return { index: before.frames[last], time: before.times[last], boxes: before.byFrame.get(before.frames[last]) || [] };
  }

  // Returns the time of the frame some frames later (or earlier), as far as it is loaded.
  async step(time, count) {
    await this.load(Math.max(0, Math.floor(time / SECONDS)));
    const number = Math.max(0, Math.floor((time + Math.sign(count) * 0.5) / SECONDS));
    await this.load(number);
    if (number > 0) await this.load(number - 1);
    const times = [...this.parts.values()].flatMap((part) => part.times || []).sort((a, b) => a - b);
    const here = nearest(times, time);
    return times[Math.min(Math.max(here + count, 0), times.length - 1)];
  }

  // Returns the centers of the feet of a track up to a time, for its trail.
  trail(id, time, seconds) {
    const points = [];
    for (const start of [time - seconds, time]) {
      const part = this.parts.get(Math.max(0, Math.floor(start / SECONDS)));
      if (!part || !part.times || points.part === part) continue;
      points.part = part;
      for (const row of part.byTrack.get(id) || []) if (row.time > time - seconds && row.time <= time + 1e-6) points.push([(row.x1 + row.x2) / 2, row.y2]);
    }
    return points;
  }
}

// Half a millisecond, because containers and browsers round times.
const TOLERANCE = 0.0006;

function nearest(times, time) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time + TOLERANCE) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function index({ frames, times, rows }) {
  const timeOf = new Map(frames.map((frame, n) => [frame, times[n]]));
  const byFrame = new Map(), byTrack = new Map();
  rows.frame.forEach((frame, n) => {
    const row = { frame, time: timeOf.get(frame), id: rows.id[n], category: rows.class[n], observed: rows.observed[n], score: rows.score[n], x1: rows.x1[n], y1: rows.y1[n], x2: rows.x2[n], y2: rows.y2[n] };
    if (!byFrame.has(frame)) byFrame.set(frame, []);
    byFrame.get(frame).push(row);
    if (!byTrack.has(row.id)) byTrack.set(row.id, []);
    byTrack.get(row.id).push(row);
  });
  return { frames, times, byFrame, byTrack };
}
