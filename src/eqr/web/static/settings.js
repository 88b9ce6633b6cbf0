// The settings of a request: the model's own, in words, or those of the controls.

const SUPPOSED = 3; // segments for which a supposition is held, if the model has no setting of its own

const STOPS = {
  residual: "Each stops when it is at rest",
  learned: "Each stops when the network is sure of its answer",
  either: "Each stops when it is at rest or the network is sure of its answer",
};

/** The most starts of a breadth, 4 or "auto:4"; `auto` if fewer may do. */
export function starts(breadth) {
  const [, auto, most] = String(breadth).match(/^(auto:)?(\d+)$/);
  return { auto: Boolean(auto), most: Number(most) };
}

/** A breadth in words: "up to 4 starts, as many as it takes". */
export function startsInWords(breadth) {
  const { auto, most } = starts(breadth);
  const number = most === 1 ? "one start" : `${most} starts`;
  return auto && most > 1 ? `up to ${number}, as many as it takes` : number;
}

/** A model's own settings in words. */
export function settingsInWords({ depth, breadth, halt, suppose }) {
  const depthInWords = halt in STOPS ? `${STOPS[halt]}, after ${depth} segments at the latest` : `Each has at most ${depth} segments`;
  const guess = `An unsure start treats one of its own guesses as a clue for ${suppose} segments at a time.`;
  return `The model’s own: ${startsInWords(breadth)}. ${depthInWords}. ${suppose ? guess : ""}`.trim();
}

/** The fields of a request by the controls' values; `model` may not be known. */
export function ownSettings({ depth, breadth, suppose }, model) {
  const guessing = { halt: "learned", suppose: model?.settings.suppose || SUPPOSED };
  return { depth, breadth, ...(suppose ? guessing : { halt: "residual", suppose: 0 }) };
}
