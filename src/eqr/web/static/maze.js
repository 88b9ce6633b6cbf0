// Drawing a maze on one canvas, by mouse, finger or keyboard. A board has exactly one S and one G.

import { paintBoard } from "./boards.js";
import { colours } from "./colours.js";
import { room } from "./puzzles.js";

const WORDS = { "#": "wall", ".": "open", S: "start", G: "goal" };

export class MazeEditor {
  constructor(canvas, changed, say) {
    Object.assign(this, { canvas, changed, say, brush: "#", at: 0, stroke: null });
    this.text = room(9);
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    window.addEventListener("pointerup", () => (this.stroke = null));
    canvas.addEventListener("keydown", (event) => this.#pressed(event));
    for (const kind of ["focus", "blur"]) canvas.addEventListener(kind, () => this.paint());
  }

  get text() {
    return this.cells.join("");
  }

  set text(cells) {
    this.cells = [...cells];
    this.side = Math.sqrt(this.cells.length);
    this.at = Math.min(this.at, this.cells.length - 1);
    this.canvas.setAttribute(
      "aria-label",
      `Maze of ${this.side} by ${this.side}. Arrow keys move, space draws with the chosen brush; # . S and G draw too.`,
    );
    this.paint();
  }

  clear() {
    this.text = room(this.side);
  }

  paint() {
    if (!this.canvas.clientWidth) return; // hidden
    paintBoard(this.canvas, { task: "maze", side: this.side, question: this.text });
    if (document.activeElement !== this.canvas) return;
    const context = this.canvas.getContext("2d");
    const cell = this.canvas.clientWidth / this.side;
    context.strokeStyle = colours().focus;
    context.lineWidth = 3;
    context.strokeRect((this.at % this.side) * cell, Math.floor(this.at / this.side) * cell, cell, cell);
  }

  /** Put `symbol` into a cell; S and G leave their old cells, and cannot be drawn over. */
  #draw(at, symbol) {
    if (this.cells[at] === symbol || "SG".includes(this.cells[at])) return;
    if ("SG".includes(symbol)) this.cells[this.cells.indexOf(symbol)] = ".";
    this.cells[at] = symbol;
    this.paint();
    this.changed();
  }

  /** The symbol that the brush puts into a cell: the wall brush opens walls, and closes open cells. */
  #painted(at) {
    return this.brush === "#" && this.cells[at] === "#" ? "." : this.brush;
  }

  #cellOf(event) {
    const box = this.canvas.getBoundingClientRect();
    const place = (value, size) => Math.min(this.side - 1, Math.max(0, Math.floor((value / size) * this.side)));
    return place(event.clientY - box.top, box.height) * this.side + place(event.clientX - box.left, box.width);
  }

  #down(event) {
    this.at = this.#cellOf(event);
    const symbol = this.#painted(this.at);
    // A finger that moves scrolls the page; a mouse or pen goes on drawing.
    this.stroke = event.pointerType === "touch" ? null : symbol;
    this.#draw(this.at, symbol);
  }

  #move(event) {
    if (this.stroke === null) return;
    this.at = this.#cellOf(event);
    this.#draw(this.at, this.stroke);
  }

  #pressed(event) {
    const [row, col, edge] = [Math.floor(this.at / this.side), this.at % this.side, this.side - 1];
    const to = {
      ArrowUp: row ? this.at - this.side : this.at,
      ArrowDown: row < edge ? this.at + this.side : this.at,
      ArrowLeft: col ? this.at - 1 : this.at,
      ArrowRight: col < edge ? this.at + 1 : this.at,
    }[event.key];
    const symbol = event.key === " " ? this.#painted(this.at) : { s: "S", g: "G" }[event.key] ?? event.key;
    if (event.ctrlKey || event.metaKey || event.altKey || (to === undefined && !(symbol in WORDS))) return;
    event.preventDefault();
    if (to === undefined) this.#draw(this.at, symbol);
    else this.at = to;
    this.paint();
    const [r, c] = [Math.floor(this.at / this.side), this.at % this.side];
    this.say(`row ${r + 1}, column ${c + 1}: ${WORDS[this.cells[this.at]]}`);
  }
}
