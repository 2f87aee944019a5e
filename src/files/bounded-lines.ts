// Lines out of chunks of text, as a program writes them: one that never ends takes no more memory than its limit. Pure.

export interface BoundedLines {
  feed(chunk: string): void;
  /** What stands after the last line end is a line too. */
  end(): void;
}

/** `take` gets each line that is not empty, without its end; what is longer than the limit is cut, and says so. */
export function boundedLines(limit: number, take: (line: string) => void): BoundedLines {
  let line = '';
  let isCut = false;
  const add = (text: string): void => {
    const room = limit - line.length;
    line += text.slice(0, room);
    isCut ||= text.length > room;
  };
  const finish = (): void => {
    if (line !== '') take(isCut ? `${line} … (cut at ${limit} characters)` : line);
    line = '';
    isCut = false;
  };
  return {
    feed(chunk) {
      const [first = '', ...others] = chunk.split(/[\r\n]/);
      add(first);
      for (const text of others) {
        finish();
        add(text);
      }
    },
    end: finish,
  };
}
