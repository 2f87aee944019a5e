// Reads one answer from a terminal: on stderr's side of the screen, hidden where it must be, gone when it is withdrawn.
import { StringDecoder } from 'node:string_decoder';
import { displayWidth } from '../render/width.ts';

/** What an answer is read from; a terminal of node:tty is one. */
export type TerminalInput = Pick<NodeJS.ReadStream, 'setRawMode' | 'on' | 'off' | 'resume' | 'pause'>;

export interface TerminalOutput {
  write(text: string): unknown;
}

export type Reading =
  | { readonly kind: 'line'; readonly text: string }
  /** Ctrl-C. */
  | { readonly kind: 'interrupted' }
  /** Ctrl-D on an empty line, or the terminal went away. */
  | { readonly kind: 'end' }
  /** The signal was aborted: the prompt has been taken off the screen. */
  | { readonly kind: 'withdrawn' };

export interface LineReader {
  /** `prompt` is shown as it is; `echo` false shows a `*` for each character. */
  read(prompt: string, options: { readonly echo: boolean; readonly signal?: AbortSignal }): Promise<Reading>;
}

export function createLineReader(input: TerminalInput, output: TerminalOutput): LineReader {
  let ahead = ''; // typed or pasted after an answer's Enter: it waits for the next question
  return {
    read: (prompt, { echo, signal }) =>
      new Promise((resolve) => {
        const line = createLine(output, echo);
        const decoder = new StringDecoder('utf8');
        const finish = (reading: Reading): void => {
          input.off('data', take);
          input.off('end', ended);
          signal?.removeEventListener('abort', withdraw);
          input.setRawMode(false);
          input.pause();
          output.write(reading.kind === 'withdrawn' ? '\r\u001b[2K' : '\r\n');
          resolve(reading);
        };
        const feed = (text: string): void => {
          const { reading, rest } = type(line, text);
          if (reading === null) return;
          ahead = rest;
          finish(reading);
        };
        const take = (chunk: Buffer): void => feed(decoder.write(chunk));
        const ended = (): void => finish({ kind: 'end' });
        const withdraw = (): void => finish({ kind: 'withdrawn' });
        input.setRawMode(true); // before the prompt: who answers it the moment it stands there is not echoed
        output.write(prompt);
        input.on('data', take);
        input.on('end', ended);
        input.resume();
        if (signal?.aborted === true) return withdraw();
        signal?.addEventListener('abort', withdraw, { once: true });
        const waiting = ahead;
        ahead = '';
        feed(waiting);
      }),
  };
}

/** Types the text until the line is over; `rest` is what stands behind the end. */
function type(line: Line, text: string): { readonly reading: Reading | null; readonly rest: string } {
  const characters = Array.from(text);
  for (const [index, character] of characters.entries()) {
    const reading = line.key(character);
    if (reading !== null) return { reading, rest: characters.slice(index + 1).join('') };
  }
  return { reading: null, rest: '' };
}

interface Line {
  /** Takes one character; answers when the line is over. */
  key(character: string): Reading | null;
}

/** The keys of a cooked terminal line (termios(3)), and arrow keys ignored. */
function createLine(output: TerminalOutput, echo: boolean): Line {
  let typed: string[] = [];
  let sequence: 'none' | 'escape' | 'csi' = 'none';
  const shownAs = (character: string): string => (echo ? character : '*');
  const erase = (howMany: number): void => {
    const width = typed
      .slice(typed.length - howMany)
      .reduce((sum, each) => sum + displayWidth(shownAs(each)), 0);
    typed = typed.slice(0, typed.length - howMany);
    output.write('\b \b'.repeat(width));
  };
  const inSequence = (character: string): boolean => {
    if (sequence === 'none') return false;
    if (sequence === 'escape' && (character === '[' || character === 'O')) sequence = 'csi';
    else if (sequence === 'escape' || /[@-~]/.test(character)) sequence = 'none';
    return true;
  };
  return {
    key(character) {
      if (character === '\u001b') sequence = 'escape';
      else if (inSequence(character)) return null;
      else if (character === '\r' || character === '\n') return { kind: 'line', text: typed.join('') };
      else if (character === '\u0003') return { kind: 'interrupted' };
      else if (character === '\u0004') return typed.length === 0 ? { kind: 'end' } : null;
      else if (character === '\u007f' || character === '\b') erase(Math.min(1, typed.length));
      else if (character === '\u0015') erase(typed.length);
      else if (character >= ' ') {
        typed.push(character);
        output.write(shownAs(character));
      }
      return null;
    },
  };
}
