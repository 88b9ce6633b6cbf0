// Server-sent events of one puzzle, by fetch: EventSource would hide refusals, and reconnect on its own.

/** Send a request; `told` gets each segment. Resolves to the data of the event `done`; rejects with a sentence. */
export async function follow(query, signal, told) {
  const url = `v1/solve/stream?${new URLSearchParams(query)}`;
  const response = await fetch(url, { signal, cache: "no-store" }).catch((error) => {
    throw error.name === "AbortError" ? error : new Error("The service does not answer: start it, then press Solve again.");
  });
  if (!response.ok) throw new Error(await refusal(response));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read().catch((error) => {
      if (error.name === "AbortError") throw error;
      return { done: true };
    });
    if (done) throw new Error("The connection broke off: press Solve again.");
    const events = (held + value).split("\n\n");
    held = events.pop();
    for (const event of events) {
      const [, kind, data] = event.match(/^event: (\w+)\ndata: (.*)$/);
      const read = JSON.parse(data);
      if (kind === "error") throw new Error(read.error);
      if (kind === "done") return read;
      told(read);
    }
  }
}

/** The sentence of a refusal; the page asks for one puzzle, so its index is left out. */
async function refusal(response) {
  const { error } = await response.json().catch(() => ({ error: `The answer has the status ${response.status}, and no text.` }));
  return error.replace(/^puzzles\[0\]: /, "");
}
