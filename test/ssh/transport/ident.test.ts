// A server's identification: found in bytes that come in any pieces, and never waited for without bound.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createIdentReader } from '../../../src/ssh/transport/ident.ts';

/** Feeds the pieces; what stands behind the identification, or null. */
function read(pieces: readonly Buffer[]): { ident: string | null; line: string | null; rest: string | null } {
  const reader = createIdentReader();
  let rest: string | null = null;
  for (const piece of pieces) {
    const used = reader.feed(piece);
    if (used !== null) rest = (rest ?? '') + piece.subarray(used).toString('latin1');
  }
  return { ident: reader.ident?.toString() ?? null, line: reader.line?.toString() ?? null, rest };
}

describe('an identification', () => {
  test('is the same in whatever pieces it comes, with lines before it and bytes behind', () => {
    const all = Buffer.from(
      'Welcome to gate.example.org\r\n\nSSH is spoken here\nSSH-2.0-Gate_1 c d\r\n\x00\x00\x01\nSSH-',
    );
    const whole = {
      ident: 'SSH-2.0-Gate_1 c d',
      line: 'Welcome to gate.example.org',
      rest: '\x00\x00\x01\nSSH-',
    };
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: all.length }), { maxLength: 12 }), (cuts) => {
        const at = [0, ...cuts.toSorted((one, other) => one - other), all.length];
        const pieces = at.slice(1).map((end, index) => all.subarray(at[index], end));
        expect(read(pieces)).toEqual(whole);
      }),
    );
    expect(read(Array.from(all, (byte) => Buffer.of(byte)))).toEqual(whole);
  });

  test('may end in a line feed alone', () => {
    expect(read([Buffer.from('SSH-2.0-Old'), Buffer.from('\nrest')])).toEqual({
      ident: 'SSH-2.0-Old',
      line: null,
      rest: 'rest',
    });
  });

  test('that is not complete is no other line', () => {
    expect(read([Buffer.from('SSH-2.0-Slo'), Buffer.from('w')])).toEqual({
      ident: null,
      line: null,
      rest: null,
    });
    expect(read([Buffer.from('Go a'), Buffer.from('way')])).toMatchObject({ line: 'Go away' });
  });

  test('is not waited for behind a line, or lines, without end', () => {
    const reader = createIdentReader();
    expect(() => {
      for (let count = 0; count < 100; count += 1) reader.feed(Buffer.alloc(100, 'x'));
    }).toThrow('a line of more than 8192 bytes');
    const patient = createIdentReader();
    expect(() => patient.feed(Buffer.from('hello\n'.repeat(1025)))).toThrow('more than 1024 lines');
  });
});
