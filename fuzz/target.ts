// A target: one parser, what is fed to it, and what must hold for whatever comes. Whoever breaks it throws.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TunnelError, type ErrorCode } from '../src/errors.ts';

export interface Target {
  readonly name: string;
  /** Real inputs to begin with. */
  readonly corpus: readonly Buffer[];
  /** Words of the format, to be put in anywhere. */
  readonly words: readonly string[];
  /** What came of it, in few words: inputs with a new one are kept and changed further. Throws where a property broke. */
  check(bytes: Buffer): string | Promise<string>;
}

const fixtures = join(import.meta.dirname, '../test/fixtures');

/** Every file of folders below test/fixtures. */
export function corpusOf(...folders: readonly string[]): Buffer[] {
  return folders.flatMap((folder) =>
    readdirSync(join(fixtures, folder))
      .toSorted()
      .map((name) => readFileSync(join(fixtures, folder, name))),
  );
}

/** Names that every object of JavaScript has: none of them may be found where nobody wrote it. */
export const inherited = ['__proto__', 'constructor', 'toString', 'prototype', 'hasOwnProperty', 'valueOf'];

/** Nothing may have been written to what all objects share. */
export function assertUnpolluted(): void {
  assert.deepEqual(Object.keys(Object.prototype), []);
  for (const name in {}) assert.fail(`every object has ${name} now`);
}

/** The value of `act`, or the word of the failure that it may throw. Whatever else is thrown breaks the property. */
export function typed<T>(act: () => T, failureOf: (thrown: unknown) => string | null): T | string {
  try {
    return act();
  } catch (thrown) {
    const word = failureOf(thrown);
    if (word === null) throw thrown;
    return word;
  }
}

/** The code of a TunnelError with one of these codes. */
export const tunnelFailure =
  (...codes: readonly ErrorCode[]) =>
  (thrown: unknown): string | null =>
    thrown instanceof TunnelError && codes.includes(thrown.code) ? thrown.code : null;

/** The bytes in two pieces at every place (of a long input at sixteen), and byte by byte. */
export function splits(bytes: Buffer): Buffer[][] {
  const { length } = bytes;
  const step = Math.max(1, Math.ceil(length / 16));
  const found: Buffer[][] = [];
  for (let at = 1; at < length; at += length <= 24 ? 1 : step)
    found.push([bytes.subarray(0, at), bytes.subarray(at)]);
  if (length <= 512) found.push(Array.from(bytes, (byte) => Buffer.of(byte)));
  return found;
}

/** Fed whole and in any pieces, a parser of a stream says the same. */
export function sameInPieces(bytes: Buffer, run: (pieces: readonly Buffer[]) => unknown): void {
  const whole = JSON.stringify(run([bytes]));
  for (const pieces of splits(bytes))
    assert.equal(JSON.stringify(run(pieces)), whole, `in ${pieces.length} pieces of ${pieces[0]?.length}…`);
}
