/** What waits to be said on a stream: read by the stream, filled by everybody else. */

export class Outbox<Message> implements AsyncIterable<Message> {
  readonly #waiting: Message[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  put(message: Message): void {
    if (this.#ended) return; // nobody is there to hear it
    this.#waiting.push(message);
    this.#wake();
  }

  /** Nothing more is said once all that waits has been. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) yield next;
      else if (this.#ended) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
