// Chooses the segment to show: follows a run at a visible pace, and lets the user go back afterwards.

const PACE = 60; // milliseconds for each segment
const BEHIND = 1200; // most milliseconds that the segment shown may lag behind the newest

const still = window.matchMedia("(prefers-reduced-motion: reduce)");

export class Replay {
  /** `show` draws a segment; `rested` is called when the last segment is shown and no more will come. */
  constructor({ slider, output, play, show, rested }) {
    Object.assign(this, { slider, output, play, show, rested });
    this.frame = null;
    slider.addEventListener("input", () => {
      this.following = false;
      this.#go(Number(slider.value));
    });
    play.addEventListener("click", () => {
      this.following = true;
      this.#go(1);
      this.#run();
    });
    this.reset();
  }

  /** Begin a run, without any segment. */
  reset() {
    cancelAnimationFrame(this.frame);
    Object.assign(this, { at: 0, last: 0, ended: false, following: true, due: 0, frame: null });
    this.slider.max = 1;
  }

  /** There are `last` segments now. */
  grow(last) {
    this.last = Math.max(last, this.last);
    this.slider.max = this.last;
    this.output.value = `${this.at} / ${this.last}`;
    this.#run();
  }

  /** No more segments will come. */
  end() {
    this.ended = true;
    this.#run();
  }

  #run() {
    if (this.frame === null) this.frame = requestAnimationFrame((now) => this.#step(now));
  }

  #step(now) {
    this.frame = null;
    if (this.following && this.at < this.last) {
      const jump = still.matches;
      if (jump || now >= this.due) {
        this.#go(jump ? this.last : this.at + 1);
        this.due = now + Math.min(PACE, BEHIND / (this.last - this.at + 1));
      }
      if (this.at < this.last) return this.#run();
    }
    if (this.ended) this.rested();
  }

  #go(at) {
    this.at = at;
    this.slider.value = at;
    this.output.value = `${at} / ${this.last}`;
    this.slider.setAttribute("aria-valuetext", `segment ${at} of ${this.last}`);
    this.show(at);
  }
}
