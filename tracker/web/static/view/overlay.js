// The boxes, ids and trails over the video.

const TRAIL = 2; // seconds
const HATCH = 12; // pixels between the lines over what is ignored

export function color(id, light = 62) {
  return `hsl(${(id * 137.508) % 360} 85% ${light}%)`;
}

export class Overlay {
  constructor(canvas, size) {
    this.canvas = canvas;
    this.size = size; // width and height of the images, pixels
  }

  // Scale and shift from pixels of the image to those of the canvas.
  place() {
    const { clientWidth, clientHeight } = this.canvas;
    const [width, height] = this.size;
    const aspect = this.aspect || width / height;
    const shown = Math.min(clientWidth / aspect, clientHeight);
    const scaleY = shown / height, scaleX = shown * aspect / width;
    return { scaleX, scaleY, left: (clientWidth - shown * aspect) / 2, top: (clientHeight - shown) / 2 };
  }

  toImage(x, y) {
    const { scaleX, scaleY, left, top } = this.place();
    return [(x - left) / scaleX, (y - top) / scaleY];
  }

  draw(frame, { first, second, trail, drawn, rival, regions }) {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    if (this.canvas.width !== Math.round(clientWidth * ratio) || this.canvas.height !== Math.round(clientHeight * ratio)) {
      this.canvas.width = Math.round(clientWidth * ratio);
      this.canvas.height = Math.round(clientHeight * ratio);
    }
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, clientWidth, clientHeight);
    const { scaleX, scaleY, left, top } = this.place();
    const toX = (x) => left + x * scaleX, toY = (y) => top + y * scaleY;
    context.font = "600 12px system-ui, sans-serif";
    if (regions) this.drawRegions(context, regions, (x) => toX(x * this.size[0]), (y) => toY(y * this.size[1]));
    for (const box of frame ? frame.boxes : []) {
      const chosen = box.id === first || box.id === second;
      const [x, y, w, h] = [toX(box.x1), toY(box.y1), (box.x2 - box.x1) * scaleX, (box.y2 - box.y1) * scaleY];
      context.strokeStyle = color(box.id);
      context.lineWidth = chosen ? 4 : 2;
      context.setLineDash(box.observed ? [] : [6, 4]);
      context.strokeRect(x, y, w, h);
      context.setLineDash([]);
      if (trail) {
        const points = trail(box.id, frame.time, TRAIL);
        context.lineWidth = 2;
        context.beginPath();
        points.forEach(([px, py], n) => (n ? context.lineTo(toX(px), toY(py)) : context.moveTo(toX(px), toY(py))));
        context.stroke();
      }
      const text = `${box.id === first ? "① " : box.id === second ? "② " : ""}${box.id} ${box.category}`;
      const width = context.measureText(text).width + 8;
      const above = y >= 18 ? y - 18 : y;
      context.fillStyle = color(box.id, 30);
      context.fillRect(x - 1, above, width, 18);
      context.fillStyle = "#fff";
      context.fillText(text, x + 3, above + 13);
    }
    for (const [box, dash] of [[drawn, [4, 3]], [rival, [1, 3]]]) {
      if (!box) continue;
      context.strokeStyle = "#fff";
      context.lineWidth = 2;
      context.setLineDash(dash);
      context.strokeRect(toX(box[0]), toY(box[1]), (box[2] - box[0]) * scaleX, (box[3] - box[1]) * scaleY);
      context.setLineDash([]);
    }
  }

  // Draws the regions of interest as dashed lines, and hatches what is ignored.
  drawRegions(context, { zones, ignore }, toX, toY) {
    const { clientWidth, clientHeight } = this.canvas;
    for (const [kind, polygons] of [["zone", zones], ["ignored", ignore]]) {
      for (const [name, corners] of Object.entries(polygons)) {
        const path = new Path2D();
        corners.forEach(([x, y], n) => (n ? path.lineTo(toX(x), toY(y)) : path.moveTo(toX(x), toY(y))));
        path.closePath();
        context.save();
        context.strokeStyle = context.fillStyle = kind === "zone" ? "#7fd4ff" : "#ffd27f";
        context.lineWidth = 2;
        context.setLineDash(kind === "zone" ? [8, 5] : []);
        context.stroke(path);
        context.clip(path);
        context.setLineDash([]);
        context.lineWidth = 1;
        context.globalAlpha = 0.7;
        context.beginPath();
        for (let x = -clientHeight; kind === "ignored" && x < clientWidth; x += HATCH) {
          context.moveTo(x, clientHeight);
          context.lineTo(x + clientHeight, 0);
        }
        context.stroke();
        context.restore();
        const left = Math.min(...corners.map(([x]) => toX(x))), top = Math.min(...corners.map(([, y]) => toY(y)));
        const text = kind === "zone" ? name : `${name} (ignored)`, width = context.measureText(text).width + 8;
        context.fillStyle = "#000a";
        context.fillRect(Math.max(0, left), Math.max(0, top), width, 18);
        context.fillStyle = kind === "zone" ? "#7fd4ff" : "#ffd27f";
        context.fillText(text, Math.max(0, left) + 4, Math.max(0, top) + 13);
      }
    }
  }

  // Returns the smallest box at a point of the canvas.
  hit(frame, x, y) {
    const [px, py] = this.toImage(x, y);
    const area = (box) => (box.x2 - box.x1) * (box.y2 - box.y1);
    const found = (frame ? frame.boxes : []).filter((box) => px >= box.x1 && px <= box.x2 && py >= box.y1 && py <= box.y2);
    return found.sort((a, b) => area(a) - area(b))[0];
  }
}
