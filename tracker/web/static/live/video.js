// Plays the H.264 fragments that come over a WebSocket, at their live edge.
const MOST_LATE = 1; // seconds behind the newest picture after which the playhead jumps to it
const KEPT = 10; // seconds of video that stay in the buffer
const MOST_WAITING = 1000; // fragments that wait for the player
const Media = self.ManagedMediaSource || self.MediaSource; // the first one is that of iPhones

// Returns a function that ends it. `ended(reason, hasPlayed)` is called if it ends for another reason.
export function play(video, path, ended) {
  let socket, buffer, waiting, end = 0, interval = 0.1, hasPlayed = false, isOver = false;

  function stop() {
    isOver = true;
    socket?.close();
    video.onerror = video.onplaying = null;
    video.removeAttribute("src");
    video.load();
  }

  function fail(reason) {
    if (isOver) return;
    stop();
    ended(reason, hasPlayed);
  }

  function start(type) {
    if (!Media.isTypeSupported(type)) return fail(`this browser does not play ${type}`);
    const media = new Media();
    const address = URL.createObjectURL(media);
    [buffer, waiting, end] = [null, [], 0];
    media.onsourceopen = () => {
      URL.revokeObjectURL(address);
      buffer = media.addSourceBuffer(type);
      buffer.onupdateend = () => attempt(next);
      attempt(next);
    };
    video.disableRemotePlayback = true; // without which iPhones do not open it
    video.src = address;
  }

  // Appends what waits, and keeps the playhead at the live edge.
  function next() {
    if (!buffer || buffer.updating) return;
    if (waiting.length) return buffer.appendBuffer(waiting.shift());
    const ranges = video.buffered;
    if (!ranges.length) return;
    const [first, last] = [ranges.start(0), ranges.length - 1];
    if (ranges.end(last) > end) {
      if (end) interval += 0.2 * (Math.min(ranges.end(last) - end, MOST_LATE) - interval);
      end = ranges.end(last);
      follow(ranges.start(last));
    }
    if (video.currentTime - first > 2 * KEPT) buffer.remove(first, video.currentTime - KEPT);
  }

  function follow(start) {
    const late = end - interval - video.currentTime; // behind the moment at which the newest picture is to be seen
    if (late > MOST_LATE || video.currentTime < start || video.currentTime > end) {
      video.currentTime = Math.max(start, end - interval);
    }
    video.playbackRate = 1 + Math.max(-0.2, Math.min(0.5, late));
    if (video.paused && !document.hidden) video.play().catch(() => {}); // the browser may wait for a click
  }

  function attempt(step) {
    try {
      if (!isOver) step();
    } catch (error) {
      fail(error.message);
    }
  }

  if (!Media || !self.WebSocket) {
    ended("this browser has no Media Source Extensions", false);
    return () => {};
  }
  video.onerror = () => fail(video.error?.message || "the video cannot be decoded");
  video.onplaying = () => (hasPlayed = true);
  socket = new WebSocket(location.origin.replace(/^http/, "ws") + path);
  socket.binaryType = "arraybuffer";
  socket.onclose = () => fail("the connection for the video was closed");
  socket.onmessage = ({ data }) => attempt(() => {
    if (typeof data === "string") return start(data);
    if (waiting.push(data) > MOST_WAITING) throw new Error("the player takes no video");
    next();
  });
  return stop;
}
