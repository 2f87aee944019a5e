// Framing, as a pure function of bytes: fuzzed at every split.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createDecoder, encodeMessage } from '../../src/control/framing.ts';
import { TunnelError } from '../../src/errors.ts';

function decodeAll(chunks: readonly Buffer[], limit?: number): unknown[] {
  const messages: unknown[] = [];
  const decode = createDecoder((message) => messages.push(message), limit);
  for (const chunk of chunks) decode(chunk);
  return messages;
}

describe('framing', () => {
  test('gives back what was encoded, however the bytes are split', () => {
    fc.assert(
      fc.property(
        fc.array(fc.jsonValue(), { maxLength: 5 }),
        fc.array(fc.nat(300), { maxLength: 20 }),
        (sent, cuts) => {
          const bytes = Buffer.from(sent.map(encodeMessage).join(''));
          const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
          const chunks = [0, ...places].map((from, index) =>
            bytes.subarray(from, places[index] ?? bytes.length),
          );
          expect(decodeAll(chunks)).toEqual(JSON.parse(JSON.stringify(sent)));
        },
      ),
    );
  });

  test('takes a message byte by byte, in the middle of a character too', () => {
    const sent = { text: 'über 🚇 tunnel', nested: ['\n', '\u2028', '"'] };
    const bytes = Buffer.from(encodeMessage(sent));
    expect(decodeAll([...bytes].map((byte) => Buffer.from([byte])))).toEqual([sent]);
  });

  test('throws on arbitrary bytes or delivers JSON, and nothing else', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }), (chunks) => {
        try {
          decodeAll(chunks.map((chunk) => Buffer.from(chunk)));
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(TunnelError);
          expect((thrown as TunnelError).code).toBe('DAEMON_MISMATCH');
        }
      }),
    );
  });

  test('delivers the messages before a bad one', () => {
    const messages: unknown[] = [];
    const decode = createDecoder((message) => messages.push(message));
    expect(() => decode(Buffer.from('{"a":1}\nnonsense\n{"b":2}\n'))).toThrow('not JSON');
    expect(messages).toEqual([{ a: 1 }]);
  });

  test('never quotes a line it cannot read', () => {
    expect(() => decodeAll([Buffer.from('{"value":"hunter2"\n')])).toThrow(
      expect.not.stringContaining('hunter2'),
    );
  });

  test('refuses a line of bad UTF-8 and one over the limit, whole or in pieces', () => {
    expect(() => decodeAll([Buffer.from([0x22, 0xff, 0xfe, 0x22, 0x0a])])).toThrow('not UTF-8');
    expect(() => decodeAll([Buffer.alloc(101, 0x20)], 100)).toThrow('longer than 100 bytes');
    expect(() => decodeAll([Buffer.alloc(60, 0x20), Buffer.alloc(60, 0x20)], 100)).toThrow('longer');
    expect(decodeAll([Buffer.from(`${' '.repeat(98)}{}\n`)], 100)).toEqual([{}]);
  });

  test('refuses to send what no reader would take', () => {
    expect(() => encodeMessage('x'.repeat(5 * 1024 * 1024))).toThrow('too long');
  });
});
