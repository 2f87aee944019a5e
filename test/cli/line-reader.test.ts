// Reading answers, key by key.
import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { createLineReader, type LineReader, type TerminalInput } from '../../src/cli/line-reader.ts';

function terminal(): { type: (text: string) => void; shown: () => string; reader: LineReader } {
  const input = Object.assign(new PassThrough(), { setRawMode: () => undefined });
  let shown = '';
  const reader = createLineReader(input as unknown as TerminalInput, {
    write: (text) => (shown += text),
  });
  return { type: (text) => input.write(text), shown: () => shown, reader };
}

describe('the line reader', () => {
  test('shows what is typed, and what is wiped is gone', async () => {
    const { type, shown, reader } = terminal();
    const reading = reader.read('? ', { echo: true });
    type('yess\u007f\r');
    expect(await reading).toEqual({ kind: 'line', text: 'yes' });
    expect(shown()).toBe('? yess\b \b\r\n');
  });

  test('shows stars for a secret, one a character', async () => {
    const { type, shown, reader } = terminal();
    const reading = reader.read('Password: ', { echo: false });
    type('gehéim\n');
    expect(await reading).toEqual({ kind: 'line', text: 'gehéim' });
    expect(shown()).toBe('Password: ******\r\n');
  });

  test('has the echo off before its prompt stands on the screen, and on again when it is answered', async () => {
    let isRaw = false;
    const input = Object.assign(new PassThrough(), { setRawMode: (raw: boolean) => (isRaw = raw) });
    const writes: string[] = [];
    const reader = createLineReader(input as unknown as TerminalInput, {
      write: (text) => writes.push(`${isRaw ? 'raw' : 'echoed'} ${text}`),
    });
    const reading = reader.read('Password: ', { echo: false });
    input.write('a\r');
    await reading;
    expect(writes).toEqual(['raw Password: ', 'raw *', 'echoed \r\n']);
  });

  test('takes characters that come in pieces', async () => {
    const input = Object.assign(new PassThrough(), { setRawMode: () => undefined });
    const reader = createLineReader(input as unknown as TerminalInput, { write: () => undefined });
    const reading = reader.read('', { echo: false });
    for (const byte of Buffer.from('ü日\r')) input.write(Buffer.from([byte]));
    expect(await reading).toEqual({ kind: 'line', text: 'ü日' });
  });

  test('ends on Ctrl-C, and on Ctrl-D only when nothing was typed', async () => {
    const first = terminal();
    const interrupted = first.reader.read('', { echo: true });
    first.type('abc\u0003');
    expect(await interrupted).toEqual({ kind: 'interrupted' });
    const second = terminal();
    const ended = second.reader.read('', { echo: true });
    second.type('a\u0004\u0015\u0004');
    expect(await ended).toEqual({ kind: 'end' });
  });

  test('ignores arrow keys', async () => {
    const { type, reader } = terminal();
    const reading = reader.read('', { echo: true });
    type('a\u001b[A\u001b[1;5D\u001bOPb\r');
    expect(await reading).toEqual({ kind: 'line', text: 'ab' });
  });

  test('a withdrawn question leaves the screen', async () => {
    const { type, shown, reader } = terminal();
    const controller = new AbortController();
    const reading = reader.read('Password: ', { echo: false, signal: controller.signal });
    type('half');
    controller.abort();
    expect(await reading).toEqual({ kind: 'withdrawn' });
    expect(shown().endsWith('\r\u001b[2K')).toBe(true);
  });

  test('what was pasted after an answer answers the next question', async () => {
    const { type, reader } = terminal();
    const first = reader.read('', { echo: true });
    type('one\rtwo\r');
    expect(await first).toEqual({ kind: 'line', text: 'one' });
    expect(await reader.read('', { echo: true })).toEqual({ kind: 'line', text: 'two' });
  });
});
