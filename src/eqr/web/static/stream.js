// Server-sent events of one puzzle, by fetch: EventSource would hide refusals, and reconnect on its own.

/** Send a request; `told` gets each segment. Resolves to the data of the event `done`; rejects with a sentence. */
export async function follow(query, signal, told) {
  const response = await fetch(`v1/solve/stream?${new URLSearchParams(query)}`, { signal, cache: "no-store" });
  if (!response.ok) throw new Error((await response.json()).error);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
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
