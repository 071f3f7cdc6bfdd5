// The boxes, ids and trails over the video.

const TRAIL = 2; // seconds

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

  draw(frame, { first, second, trail, drawn, rival }) {
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

  // Returns the smallest box at a point of the canvas.
  hit(frame, x, y) {
    const [px, py] = this.toImage(x, y);
    const area = (box) => (box.x2 - box.x1) * (box.y2 - box.y1);
    const found = (frame ? frame.boxes : []).filter((box) => px >= box.x1 && px <= box.x2 && py >= box.y1 && py <= box.y2);
    return found.sort((a, b) => area(a) - area(b))[0];
  }
}
