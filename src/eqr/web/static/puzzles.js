// A puzzle on this page is a task, a side, and one character for each cell. Reads puzzles from text; holds examples.

export const BOXES = { 9: [3, 3], 6: [2, 3], 4: [2, 2] }; // rows and columns of a box, by the side of the board
export const SMALLEST = 5;
export const LARGEST = 99;

/** Read a Sudoku of this side from `text`, with "." for blanks; null if the text is no such Sudoku. */
export function readSudoku(text, side) {
  const known = "123456789".slice(0, side);
  const fits = (cells) => cells.length === side * side && [...cells].every((char) => char === "." || known.includes(char));
  const bare = text.replace(/[\s|+,;]/g, "").replace(/[0*_?xX]/g, ".");
  // A dash is a piece of a frame, or a blank.
  return [bare.replaceAll("-", ""), bare.replaceAll("-", ".")].find(fits) ?? null;
}

/** Say why `text` is no puzzle for this page, where Sudokus have this side; null if no model here answers Sudokus. */
export function misread(text, side) {
  const cells = text.replace(/[\s|+,;-]/g, "").length;
  const sudoku = side && `a Sudoku of ${side * side} cells (it has ${cells})`;
  const maze = "a square maze of # . S and G";
  return sudoku ? `This text is neither ${sudoku} nor ${maze}.` : `This text is not ${maze}.`;
}

/** Read a square maze from `text`, row by row or on one line; null if the text is no such maze. */
export function readMaze(text) {
  const lines = text.split(/[\r\n/]+/).filter((line) => line.length);
  const cells = lines.join("").replace(/[ _o]/g, ".");
  const side = Math.sqrt(cells.length);
  const square = Number.isInteger(side) && side >= SMALLEST && side <= LARGEST;
  const even = lines.length === 1 || lines.every((line) => line.length === side);
  return square && even && /^[#.SG]+$/.test(cells) && cells.includes("S") && cells.includes("G") ? cells : null;
}

/** The rows of a board, one on each line. */
export function rows(cells, side) {
  return Array.from({ length: side }, (_, row) => cells.slice(row * side, (row + 1) * side)).join("\n");
}

/** A room of this side: walls around, S and G in opposite corners. */
export function room(side) {
  const edge = side - 1;
  const cells = Array.from({ length: side * side }, (_, cell) => {
    const [row, col] = [Math.floor(cell / side), cell % side];
    return row % edge === 0 || col % edge === 0 ? "#" : ".";
  });
  cells[side + 1] = "S";
  cells[(side - 2) * side + side - 2] = "G";
  return cells.join("");
}

// The puzzles of examples/sudoku/puzzles.csv and examples/maze/mazes.txt.
export const EXAMPLES = {
  sudoku: [
    ["Easy", "..3.2.6..9..3.5..1..18.64....81.29..7.......8..67.82....26.95..8..2.3..9..5.1.3.."],
    ["Hard", "..3.615..9..3..2..........774.....9.....9.....3.8..........6..5...2.8...6..1.7..2"],
    ["17 clues", "4.....5.8.3..........7......2.....6.....5.8......1.......6.3.7.5..2.....1.8......"],
    ["Needs guesses", ".6.5.1.9.1...9..539....7....4.8...7.......5.8.817.5.3.....5.2............76..8..."],
  ],
  maze: [
    ["9 × 9", "##########...#...####.###.##....S#G##.#####.##.#...#.##.#.#.#.##...#...##########"],
    [
      "15 × 15",
      `
###############
#...#.........#
#.#.#.###S#####
#.#.#...#.....#
#.#.###.#######
#.#.#.#.#...#.#
#.#.#.#.#.#.#.#
#.#.#.#.#.#...#
#.#.#.#.#.###.#
#.#...#.#...#.#
#.###.#.###.#.#
#G..#.#.....#.#
#.#.#########.#
#.#...........#
###############`,
    ],
    [
      "31 × 31",
      `
###############################
#.........#...................#
#.#.#######.###.###.#########.#
#.#.#.......#...#...#...#...#.#
#.###.#######.#######.#.#.#.#.#
#.#...#.....#.#...#...#.#.#...#
#.#.###.#.###.#.#.#.###.#######
#.#.....#.#...#.#...#...#.....#
#.#######.#.###.#####.###.###.#
#.........#.....#...#...S.#...#
#.#################.#######.#.#
#...#...#.............#...#.#.#
###.#.#.###.#########.#.#.#.#.#
#.#...#.#...#.#.......#.#.#.#.#
#.#####.#.###.#.#######.#.#.#.#
#.....#...#...#.#.......#.#.#.#
#.#.#######.#.#.###.#######.#.#
#.#.........#.#.....#...#...#.#
#.#######.#####.#####.#.#.###.#
#.#.......#.....#...#.#.#...#.#
###.#.#####.#####.#.#.#.###.#.#
#.G.#.#...#.#.#...#.#.#...#.#.#
#.#####.#.#.#.#.###.#.###.#.#.#
#...#...#.....#.#.#.#.#...#.#.#
#.#.#.#########.#.#.#.###.#.#.#
#.#.#...#.#.....#.#.#...#.#.#.#
###.###.#.#######.#.###.#.#.###
#...#...#.......#.#.....#.#...#
#.###.#######.#.#.#######.###.#
#.............#.........#.....#
###############################`,
    ],
    ["Open room (not trained on)", "########S....##.....##..#..##.....##....G########"],
  ],
};
