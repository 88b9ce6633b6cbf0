// The page: reads a puzzle, sends it to the service, and shows the answer.

import { paintScale } from "./colours.js";
import { MazeEditor } from "./maze.js";
import { BOXES, EXAMPLES, LARGEST, misread, readMaze, readSudoku, room, rows } from "./puzzles.js";
import { Replay } from "./replay.js";
import { power, Results } from "./results.js";
import { ownSettings, settingsInWords, starts, startsInWords } from "./settings.js";
import { follow } from "./stream.js";
import { SudokuEditor } from "./sudoku.js";

const SIZES = [7, 9, 11, 13, 15, 21, 31];
const SHOWN = 16; // most starts that a visitor may ask for
const $ = (id) => document.getElementById(id);
const say = (text) => ($("said").textContent = text);

const results = new Results($("boards"));
const replay = new Replay({
  slider: $("segment"),
  output: $("at"),
  play: $("play"),
  show: (at) => results.show(at),
  rested: () => tell(),
});
let offered = { models: [], limits: { depth: 1024, breadth: SHOWN } };
let sudoku = null;
const maze = new MazeEditor($("drawing"), () => written(), say);
let asking = null; // aborts the request under way
let outcome = null;
let ran = false;

const task = () => document.querySelector("input[name=task]:checked").value;
const editor = () => (task() === "maze" ? maze : sudoku);
const best = () => document.querySelector("input[name=mode]:checked").value === "best";
const model = () => offered.models.find(({ name }) => name === $("model").value);
const puzzle = () => ({ task: task(), side: editor().side, question: editor().text });

/** The boards to lay out for a breadth before its starts begin. */
const first = (breadth) => (starts(breadth).auto ? 1 : starts(breadth).most);

/** The puzzle has changed: before the first run, the boards show it. */
function written() {
  complain("");
  if (!ran) results.lay(puzzle(), first(best() ? (model()?.settings.breadth ?? 1) : Math.min(SHOWN, Number($("breadth").value) || 1)));
  if (document.activeElement === $("text")) return; // a user who types there keeps the text and the cursor
  $("text").value = task() === "maze" ? rows(maze.text, maze.side) : sudoku.text;
}

function put(kind, text) {
  document.querySelector(`input[name=task][value=${kind}]`).checked = true;
  pick();
  editor().text = text;
  if (kind === "maze") offerSize(maze.side);
  written();
}

function pick() {
  const kind = task();
  $("sudoku").hidden = kind !== "sudoku";
  $("maze").hidden = kind !== "maze";
  $("supposing").hidden = kind === "maze"; // its answers cannot be given as clues
  const models = offered.models.filter((model) => model.task === kind);
  $("models").hidden = models.length < 2;
  const chosen = $("model").value;
  $("model").replaceChildren(...models.map(({ name }) => new Option(name, name, false, name === chosen)));
  choose();
  const fits = kind === "maze" || sudoku?.side === 9;
  $("examples").replaceChildren(
    ...(fits ? EXAMPLES[kind] : []).map(([name, text]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => put(kind, kind === "maze" ? readMaze(text) : text));
      return button;
    }),
  );
  maze.paint();
}

/** Show the controls of the settings that are chosen. */
function choose() {
  $("best").hidden = !best();
  $("own").hidden = best();
  $("best").textContent = model() ? settingsInWords(model().settings) : "";
}

function offerSize(size) {
  const sizes = [...new Set([...SIZES, size])].filter((n) => n <= LARGEST).sort((a, b) => a - b);
  $("size").replaceChildren(...sizes.map((n) => new Option(`${n} × ${n}`, n, false, n === size)));
}

/** Take a puzzle from any text; if the text is not a puzzle, say so and return false. */
function take(text) {
  const [digits, walls] = [sudoku && readSudoku(text, sudoku.side), readMaze(text)];
  if (digits || walls) put(digits ? "sudoku" : "maze", digits ?? walls);
  complain(digits || walls || !text.trim() ? "" : misread(text, sudoku?.side));
  return Boolean(digits || walls);
}

/** Show why a text was not taken; an empty sentence takes the last one away. */
function complain(sentence) {
  $("misread").textContent = sentence;
  $("misread").hidden = !sentence;
  if (sentence) say(sentence);
}

function verdict(kind, title, facts) {
  document.querySelector(".verdict").className = `verdict ${kind}`;
  $("verdict").textContent = title;
  $("facts").textContent = facts;
  say(`${title}. ${facts}`);
}

const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

function busy(now) {
  $("solve").textContent = now ? "Stop" : "Solve";
  $("result").setAttribute("aria-busy", String(now));
}

function wholeNumber(id) {
  const field = $(id);
  if (field.checkValidity() && field.value) return Number(field.value);
  field.focus();
  throw new Error(`${id[0].toUpperCase()}${id.slice(1)} must be a whole number from ${field.min} to ${field.max}.`);
}

const own = () =>
  ownSettings(
    { depth: wholeNumber("depth"), breadth: wholeNumber("breadth"), suppose: task() === "sudoku" && $("suppose").checked },
    model(),
  );

async function solve() {
  const controller = new AbortController();
  try {
    const asked = puzzle();
    const query = { task: asked.task, puzzle: asked.question, model: $("model").value };
    if (!model()) throw new Error("The service does not answer: start it, then reload this page.");
    if (!best()) Object.assign(query, own());
    const { depth, breadth } = best() ? model().settings : query;
    asking = controller;
    outcome = null;
    ran = true;
    busy(true);
    results.lay(asked, first(breadth));
    replay.reset();
    for (const id of ["replay", "legend"]) $(id).hidden = false;
    $("answer").hidden = true;
    $("copy").textContent = "Copy";
    paintScale($("scale"));
    verdict("", "Settling …", `${startsInWords(breadth)}, at most ${depth} segments each`);
    if (window.matchMedia("(max-width: 60rem)").matches) $("result").scrollIntoView();
    outcome = await follow(query, controller.signal, (segment) => replay.grow(results.take(segment)));
    replay.end();
  } catch (error) {
    if (asking !== controller && asking) return; // another run has begun
    const stopped = error.name === "AbortError";
    const shown = results.last && asking ? "The boards show the last segments." : "";
    verdict(stopped ? "" : "failed", stopped ? "Stopped" : "No answer", stopped ? shown : `${sentence(error.message)} ${shown}`.trim());
    if (!stopped && !results.last) for (const id of ["replay", "legend"]) $(id).hidden = true;
  } finally {
    if (asking === controller) {
      asking = null;
      busy(false);
    }
  }
}

/** Say how the run ended, once the boards show its end. */
function tell() {
  if (!outcome) return;
  const { record, restart } = outcome;
  outcome = null;
  results.choose(restart);
  const title = record.valid === null ? "Not checked" : record.valid ? "Valid" : "Not valid";
  const rest = record.converged ? "at rest" : record.halted ? "sure of its answer" : "not at rest";
  const which = record.restarts > 1 ? ` · start ${restart + 1} of ${record.restarts} settled best` : "";
  const cost = `${record.depth} segments · ${Math.round(record.seconds * 1000)} ms`;
  verdict(record.valid === false ? "invalid" : "valid", title, `${cost} · ${rest}, residual ${power(record.residual)}${which}`);
  const { side, task: kind } = results.puzzle;
  $("answer-text").textContent = kind === "maze" ? rows(record.answer, side) : record.answer;
  $("answer-text").classList.toggle("rows", kind === "maze");
  $("answer").hidden = false;
}

async function offer() {
  try {
    offered = await (await fetch("v1/models")).json();
  } catch {
    verdict("failed", "No connection", "The service does not answer: start it, then reload this page.");
    return;
  }
  const known = offered.models.map((model) => model.task);
  for (const input of document.querySelectorAll("input[name=task]")) input.closest("label").hidden = !known.includes(input.value);
  const first = known.find((kind) => kind in EXAMPLES);
  const board = offered.models.find((model) => model.task === "sudoku")?.board ?? "sudoku9";
  sudoku = new SudokuEditor($("cells"), Number(board.replace("sudoku", "")) || 9, written);
  $("depth").max = offered.limits.depth;
  $("breadth").max = Math.min(SHOWN, offered.limits.breadth);
  if (!first) return;
  $("tasks").hidden = known.length < 2;
  put(first, first === "maze" ? readMaze(EXAMPLES.maze[0][1]) : sudoku.side in BOXES && sudoku.side === 9 ? EXAMPLES.sudoku[0][1] : sudoku.text);
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (asking) asking.abort();
  else solve();
});
$("clear").addEventListener("click", () => {
  editor().clear();
  written();
});
$("tasks").addEventListener("change", () => {
  pick();
  written();
});
$("brushes").addEventListener("change", () => (maze.brush = document.querySelector("input[name=brush]:checked").value));
$("breadth").addEventListener("input", () => written());
for (const id of ["modes", "model"]) {
  $(id).addEventListener("change", () => {
    choose();
    written();
  });
}
$("size").addEventListener("change", () => put("maze", room(Number($("size").value))));
$("text").addEventListener("input", () => take($("text").value));
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("answer-text").textContent);
    $("copy").textContent = "Copied";
    say("Copied.");
  } catch {
    // Browsers keep the clipboard from pages that come neither by https nor from this machine.
    getSelection().selectAllChildren($("answer-text"));
    say("The answer is selected: copy it with your keyboard.");
  }
});
document.addEventListener("paste", (event) => {
  const text = event.clipboardData.getData("text");
  if (event.target.closest?.("#text, .numbers")) return; // read as typed
  if (event.target instanceof HTMLInputElement && text.trim().length < 2) return; // a digit for this cell
  event.preventDefault();
  if (take(text)) say("Pasted.");
});
const again = () => {
  maze.paint();
  if (results.puzzle) results.show(results.at);
  if (!$("legend").hidden) paintScale($("scale"));
};
new ResizeObserver(again).observe(document.querySelector("main"));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
offerSize(9);
offer();
