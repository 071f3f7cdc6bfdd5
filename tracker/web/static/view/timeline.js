// The timeline: the number of tracks over the whole run above, a lane for each track of the visible part below.
import { color } from "./overlay.js";

const OVERVIEW = 34, LANE = 9, AXIS = 16;

export function clock(seconds, digits = 0) {
  const whole = Math.floor(seconds), h = Math.floor(whole / 3600), m = Math.floor(whole / 60) % 60, s = seconds - h * 3600 - m * 60;
  const text = s.toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return h ? `${h}:${String(m).padStart(2, "0")}:${text}` : `${m}:${text}`;
}

export class Timeline {
  constructor(canvas, onSeek, onSelect) {
    this.canvas = canvas;
    this.duration = 1;
    this.range = [0, 1];
    this.tracks = [];
    this.onSeek = onSeek;
    this.onSelect = onSelect;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY / 400), this.timeAt(event.offsetX));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.move(event, true);
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && this.move(event, false));
  }

  setTracks(columns, duration) {
    this.duration = Math.max(duration, 0.1);
    this.tracks = columns.id.map((id, n) => ({ id, start: columns.first_s[n], end: columns.last_s[n] })).sort((a, b) => a.start - b.start);
    if (!this.isSet) this.range = [0, Math.min(this.duration, Math.max(60, this.duration / 200))];
    this.isSet = true;
    this.density = null;
  }

  move(event, isFirst) {
    const width = this.canvas.clientWidth;
    if (event.offsetY < OVERVIEW) {
      const time = (event.offsetX / width) * this.duration, half = (this.range[1] - this.range[0]) / 2;
      this.setRange(time - half, time + half);
      this.onSeek(Math.min(Math.max(time, 0), this.duration));
      return;
    }
    this.onSeek(this.timeAt(event.offsetX));
    const lane = this.lanes && this.lanes.find((one) => Math.abs(one.y - event.offsetY) < LANE / 2 + 1 && event.offsetX >= one.x1 - 3 && event.offsetX <= one.x2 + 3);
    if (isFirst && lane) this.onSelect(lane.id, event.shiftKey);
  }

  timeAt(x) {
    const [start, end] = this.range;
    return Math.min(Math.max(start + (x / this.canvas.clientWidth) * (end - start), 0), this.duration);
  }

  setRange(start, end) {
    const length = Math.min(end - start, this.duration);
    start = Math.min(Math.max(start, 0), this.duration - length);
    this.range = [start, start + length];
  }

  zoom(factor, around) {
    const [start, end] = this.range;
    const length = Math.min(Math.max((end - start) * factor, 0.5), this.duration);
    const part = (around - start) / (end - start);
    this.setRange(around - part * length, around + (1 - part) * length);
    this.onSeek(null);
  }

  // Shows the part around a time, if it is not shown.
  follow(time) {
    const [start, end] = this.range;
    if (time < start || time > end) this.setRange(time - (end - start) * 0.2, time + (end - start) * 0.8);
  }

  draw(time, first, second) {
    const ratio = window.devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = this.canvas;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const context = this.canvas.getContext("2d"), style = getComputedStyle(document.body);
    const text = style.getPropertyValue("color"), faint = getComputedStyle(document.getElementById("source")).color;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!this.density || this.density.length !== Math.ceil(width)) this.density = count(this.tracks, 0, this.duration, Math.ceil(width));
    const most = Math.max(1, ...this.density);
    context.fillStyle = faint;
    this.density.forEach((n, x) => context.fillRect(x, OVERVIEW - 4 - (n / most) * (OVERVIEW - 8), 1, (n / most) * (OVERVIEW - 8)));
    const [start, end] = this.range, scale = width / (end - start);
    context.strokeStyle = text;
    context.strokeRect((start / this.duration) * width + 0.5, 1.5, Math.max(3, ((end - start) / this.duration) * width - 1), OVERVIEW - 3);
    this.drawLanes(context, width, height, start, end, scale, first, second, faint);
    context.fillStyle = faint;
    context.font = "11px system-ui, sans-serif";
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200].find((one) => one * scale > 80) || 14400;
    for (let at = Math.ceil(start / step) * step; at <= end; at += step) context.fillText(clock(at, step < 1 ? 1 : 0), (at - start) * scale + 2, height - 4);
    context.fillStyle = text;
    context.fillRect((time - start) * scale - 0.5, OVERVIEW, 1.5, height - OVERVIEW);
    context.fillRect((time / this.duration) * width - 0.5, 0, 1.5, OVERVIEW);
  }

  drawLanes(context, width, height, start, end, scale, first, second, faint) {
    const space = height - OVERVIEW - AXIS, rows = Math.floor(space / LANE), free = [];
    const inside = this.tracks.filter((track) => track.end >= start && track.start <= end);
    this.lanes = [];
    for (const track of inside) {
      let row = free.findIndex((until) => until <= track.start);
      if (row < 0) row = free.length;
      if (row >= rows) {
        this.lanes = null;
        break;
      }
      free[row] = track.end + 4 / scale;
      const x1 = Math.max(0, (track.start - start) * scale), x2 = Math.min(width, Math.max((track.end - start) * scale, x1 + 3));
      this.lanes.push({ id: track.id, x1, x2, y: OVERVIEW + row * LANE + LANE / 2 });
    }
    if (!this.lanes) { // too many for a lane each
      const density = count(inside, start, end, Math.ceil(width)), most = Math.max(1, ...density);
      context.fillStyle = faint;
      density.forEach((n, x) => context.fillRect(x, height - AXIS - (n / most) * space, 1, (n / most) * space));
      return;
    }
    for (const lane of this.lanes) {
      const chosen = lane.id === first || lane.id === second;
      context.fillStyle = color(lane.id, 50);
      context.fillRect(lane.x1, lane.y - (chosen ? 4 : 2.5), lane.x2 - lane.x1, chosen ? 8 : 5);
    }
  }
}

function count(tracks, start, end, bins) {
  const changes = new Float64Array(bins + 1), scale = bins / (end - start);
  for (const track of tracks) {
    const from = Math.floor((track.start - start) * scale), to = Math.floor((track.end - start) * scale);
    if (to < 0 || from >= bins) continue;
    changes[Math.max(0, from)] += 1;
    changes[Math.min(bins, to + 1)] -= 1;
  }
  const counts = [];
  let sum = 0;
  for (let n = 0; n < bins; n++) counts.push((sum += changes[n]));
  return counts;
}
