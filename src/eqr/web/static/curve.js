// The residual of one start, segment by segment, on a logarithmic scale.

import { colours, fitted } from "./colours.js";

const [TOP, BOTTOM] = [0, -7]; // powers of ten
const LEFT = 30;
const ROOM = 5;

/** Draw `residuals`; those up to `shown` strongly. The time axis has `most` segments. */
export function paintCurve(canvas, residuals, shown, most) {
  const { context, width, height } = fitted(canvas);
  const colour = colours();
  const x = (at) => LEFT + ((width - LEFT - ROOM) * at) / Math.max(1, most - 1);
  const y = (value) => {
    const power = Math.min(TOP, Math.max(BOTTOM, Math.log10(value ?? 1)));
    return ROOM + ((height - 2 * ROOM) * (TOP - power)) / (TOP - BOTTOM);
  };
  context.font = "10px system-ui, sans-serif";
  context.textBaseline = "middle";
  for (const [power, label] of [[0, "1"], [-3, "10⁻³"], [-6, "10⁻⁶"]]) {
    context.fillStyle = colour.line;
    context.fillRect(LEFT, Math.round(y(10 ** power)), width - LEFT, 1);
    context.fillStyle = colour.soft;
    context.fillText(label, 0, y(10 ** power) + (power === 0 ? 2 : 0));
  }
  if (!residuals.length) return;
  const line = (points, style, wide) => {
    context.beginPath();
    points.forEach((value, at) => context.lineTo(x(at), y(value)));
    context.strokeStyle = style;
    context.lineWidth = wide;
    context.lineJoin = "round";
    context.stroke();
  };
  line(residuals, colour.strong, 1);
  line(residuals.slice(0, shown), colour.curve, 2);
  context.beginPath();
  context.arc(x(shown - 1), y(residuals[shown - 1]), 3.5, 0, 7);
  context.fillStyle = colour.curve;
  context.fill();
}
