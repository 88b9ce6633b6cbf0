// Drawing a board: the clues, and the network's symbols coloured by confidence.

import { colours, fitted, mixed, sureness } from "./colours.js";
import { BOXES } from "./puzzles.js";

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";

/** Draw `answer` (one character for each cell; before the first segment, the question) on a square canvas. */
export function paintBoard(canvas, { task, side, question, answer, confidence }) {
  const { context, width } = fitted(canvas);
  const draw = task === "maze" ? paintMaze : paintSudoku;
  draw(context, width, side, question, answer ?? question, confidence, colours());
}

/** Fill a cell up to whole device pixels: between cells of one colour there must be no seam. */
function fill(context, style, at, side, cell) {
  const ratio = context.getTransform().a;
  const edge = (number) => Math.round(number * cell * ratio) / ratio;
  const [row, col] = [Math.floor(at / side), at % side];
  const [x, y] = [edge(col), edge(row)];
  context.fillStyle = style;
  context.fillRect(x, y, edge(col + 1) - x, edge(row + 1) - y);
}

function paintSudoku(context, width, side, question, answer, confidence, colour) {
  const cell = width / side;
  context.fillStyle = colour.surface;
  context.fillRect(0, 0, width, width);
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let at = 0; at < side * side; at += 1) {
    const [x, y] = [(at % side) * cell, Math.floor(at / side) * cell];
    const found = question[at] === ".";
    if (found && confidence) {
      fill(context, mixed(colour.unsure, colour.sure, sureness(confidence[at])), at, side, cell);
    }
    if (answer[at] === ".") continue;
    context.fillStyle = colour.ink;
    context.font = `${found ? 400 : 700} ${cell * 0.56}px ${FONT}`;
    context.fillText(answer[at], x + cell / 2, y + cell * 0.54);
  }
  const [boxRows, boxCols] = BOXES[side];
  for (let line = 0; line <= side; line += 1) {
    rule(context, line % boxCols === 0, line * cell, width, true, colour, line % side === 0);
    rule(context, line % boxRows === 0, line * cell, width, false, colour, line % side === 0);
  }
}

function rule(context, thick, at, length, upright, colour, edge) {
  const wide = thick ? 1.5 : 0.75;
  context.fillStyle = thick ? colour.strong : colour.line;
  const start = edge ? Math.min(Math.max(0, at - wide / 2), length - wide) : at - wide / 2;
  if (upright) context.fillRect(start, 0, wide, length);
  else context.fillRect(0, start, length, wide);
}

function paintMaze(context, width, side, question, answer, confidence, colour) {
  const cell = width / side;
  for (let at = 0; at < side * side; at += 1) {
    fill(context, mazeColour(question[at], answer[at], confidence?.[at], colour), at, side, cell);
  }
  for (const letter of "SG") {
    const at = question.indexOf(letter);
    if (at >= 0) paintEnd(context, letter, at, side, cell, colour);
  }
}

function mazeColour(given, found, confidence, colour) {
  const stands = given === found || (given === "." && found === "o");
  if (!stands) return colour.bad;
  if (found === "#") return colour.wall;
  const sure = confidence === undefined ? 1 : sureness(confidence);
  return found === "o" ? mixed(colour.unsure, colour.path, sure) : mixed(colour.unsure, colour.surface, 0.35 + 0.65 * sure);
}

function paintEnd(context, letter, at, side, cell, colour) {
  fill(context, colour.accent, at, side, cell);
  if (cell < 9) return;
  context.fillStyle = colour["on-accent"];
  context.font = `700 ${cell * 0.7}px ${FONT}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(letter, ((at % side) + 0.5) * cell, (Math.floor(at / side) + 0.54) * cell);
}
