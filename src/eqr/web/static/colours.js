// The colours of the style sheet for canvases, and the scale from unsure to sure.

const NAMES = ["surface", "ink", "soft", "line", "strong", "accent", "on-accent", "bad", "sure", "unsure", "wall", "path", "curve", "focus"];

/** The colours in force, by name; ask again when the scheme changes. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function parts(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/** `share` of the way from one colour to another, both #rrggbb. */
export function mixed(from, to, share) {
  const [start, end] = [parts(from), parts(to)];
  return `rgb(${start.map((value, at) => Math.round(value + (end[at] - value) * share)).join(" ")})`;
}

/** A cell's confidence on the scale 0 to 1: 0 for the third or less that a mere guess gets. */
export function sureness(confidence) {
  return Math.min(1, Math.max(0, (confidence - 0.35) / 0.63));
}

/** A canvas as large as it is shown, in device pixels; its context counts in CSS pixels. */
export function fitted(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** The legend's scale. */
export function paintScale(canvas) {
  const { context, width, height } = fitted(canvas);
  const { unsure, sure } = colours();
  for (let x = 0; x < width; x += 1) {
    context.fillStyle = mixed(unsure, sure, x / width);
    context.fillRect(x, 0, 1, height);
  }
}
