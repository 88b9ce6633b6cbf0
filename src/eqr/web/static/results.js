// The starts side by side: each with its segments so far, and its board and its curve at the segment shown.

import { paintBoard } from "./boards.js";
import { paintCurve } from "./curve.js";

/** A number as people write it: 3.1e-6 becomes 3.1 × 10⁻⁶. */
export function power(value) {
  if (value === null || value === undefined) return "–";
  const [digits, exponent] = value.toExponential(1).split("e");
  const raised = [...String(Number(exponent))].map((char) => (char === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[char])).join("");
  return `${digits}\u00a0×\u00a010${raised}`;
}

/** The mean of the last three residuals, by which the service selects. */
function recent(residuals, shown) {
  const last = residuals.slice(Math.max(0, shown - 3), shown);
  return last.includes(null) ? null : last.reduce((sum, value) => sum + value, 0) / last.length;
}

function element(name, className) {
  const made = document.createElement(name);
  made.className = className;
  return made;
}

export class Results {
  constructor(list) {
    this.list = list;
    this.starts = [];
  }

  /** Lay out `count` starts of a puzzle, without any segment. */
  lay(puzzle, count) {
    this.puzzle = puzzle;
    this.starts = [];
    this.list.replaceChildren();
    this.#grow(count);
    this.show(0);
  }

  /** Take one segment; returns the number of segments of the longest start. */
  take({ restart, answer, confidence, residual }) {
    if (restart >= this.starts.length) {
      this.#grow(restart + 1);
      this.show(this.at);
    }
    const start = this.starts[restart];
    start.answers.push(answer);
    start.confidence.push(confidence);
    start.residual.push(residual);
    return this.last;
  }

  /** Add starts until there are `count`. */
  #grow(count) {
    while (this.starts.length < count) {
      const card = element("li", "board");
      const caption = element("p", "caption");
      const name = document.createElement("b");
      name.textContent = `Start ${this.starts.length + 1}`;
      const [depth, rest] = [document.createElement("span"), document.createElement("span")];
      caption.append(name, depth, rest);
      const [face, curve] = [element("canvas", "face"), element("canvas", "curve")];
      for (const canvas of [face, curve]) canvas.setAttribute("role", "img");
      card.append(caption, face, curve);
      this.list.append(card);
      this.starts.push({ card, name, depth, rest, face, curve, answers: [], confidence: [], residual: [] });
    }
    this.list.style.setProperty("--columns", count === 4 ? 2 : Math.min(count, count > 9 ? 4 : 3));
    this.list.style.setProperty("--widest", count === 1 ? "26rem" : "none");
  }

  get last() {
    return Math.max(0, ...this.starts.map((start) => start.answers.length));
  }

  /** Draw segment `at`, from 1; a start that has ended keeps its last board. */
  show(at) {
    this.at = at;
    const most = this.last;
    this.starts.forEach((start, number) => {
      const shown = Math.min(at, start.answers.length);
      const now = { answer: start.answers[shown - 1], confidence: start.confidence[shown - 1] };
      paintBoard(start.face, { ...this.puzzle, ...now });
      paintCurve(start.curve, start.residual, shown, most);
      const residual = power(recent(start.residual, shown));
      start.depth.textContent = shown ? `${shown} segment${shown > 1 ? "s" : ""}` : "waiting";
      start.rest.textContent = shown ? residual : "";
      start.face.setAttribute("aria-label", `Board of start ${number + 1}: ${now.answer ?? this.puzzle.question}`);
      start.curve.setAttribute("aria-label", `Residual of start ${number + 1}: ${start.depth.textContent} ${start.rest.textContent}`);
    });
  }

  /** Frame the start that answers; unframe all with null. */
  choose(number) {
    this.starts.forEach((start, at) => {
      start.card.classList.toggle("chosen", at === number);
      start.name.textContent = `Start ${at + 1}${at === number ? ", chosen" : ""}`;
    });
  }
}
