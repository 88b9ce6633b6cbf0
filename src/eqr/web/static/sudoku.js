// Writing a Sudoku: one input for each cell; one of them is in the tab order, and arrow keys move between them.

import { BOXES } from "./puzzles.js";

export class SudokuEditor {
  constructor(root, side, changed) {
    Object.assign(this, { root, side, changed });
    const [boxRows, boxCols] = BOXES[side];
    root.style.setProperty("--side", side);
    this.cells = Array.from({ length: side * side }, (_, at) => {
      const [row, col] = [Math.floor(at / side), at % side];
      const cell = document.createElement("input");
      cell.inputMode = "numeric";
      cell.autocomplete = "off";
      cell.tabIndex = at ? -1 : 0;
      cell.setAttribute("aria-label", `row ${row + 1}, column ${col + 1}`);
      cell.classList.toggle("right", (col + 1) % boxCols === 0);
      cell.classList.toggle("low", (row + 1) % boxRows === 0);
      cell.classList.toggle("last", col === side - 1);
      cell.classList.toggle("bottom", row === side - 1);
      cell.addEventListener("input", () => this.#written(at));
      cell.addEventListener("keydown", (event) => this.#pressed(event, at));
      cell.addEventListener("focus", () => this.#focused(at));
      root.append(cell);
      return cell;
    });
  }

  get text() {
    return this.cells.map((cell) => cell.value || ".").join("");
  }

  set text(cells) {
    this.cells.forEach((cell, at) => (cell.value = cells[at] === "." ? "" : cells[at]));
  }

  clear() {
    this.text = ".".repeat(this.side ** 2);
  }

  #focused(at) {
    this.cells.forEach((cell, other) => (cell.tabIndex = other === at ? 0 : -1));
    this.cells[at].select();
  }

  #written(at) {
    // The last digit typed counts; anything else leaves the cell blank. A dot, a zero and a space go on as a digit does.
    const typed = [...this.cells[at].value];
    const digit = typed.filter((char) => "123456789".slice(0, this.side).includes(char)).pop();
    const blank = ".0 ".includes(typed.at(-1) ?? "-");
    this.cells[at].value = blank ? "" : (digit ?? "");
    if ((digit || blank) && at + 1 < this.cells.length) this.cells[at + 1].focus();
    this.changed();
  }

  #pressed(event, at) {
    const [row, col, edge] = [Math.floor(at / this.side), at % this.side, this.side - 1];
    const to = {
      ArrowUp: row ? at - this.side : at,
      ArrowDown: row < edge ? at + this.side : at,
      ArrowLeft: col ? at - 1 : at,
      ArrowRight: col < edge ? at + 1 : at,
      Home: at - col,
      End: at - col + edge,
    }[event.key];
    const blank = event.key === "Backspace" && !this.cells[at].value && at;
    if ((to === undefined && !blank) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.cells[blank ? at - 1 : to].focus();
  }
}
