// Which messages leave the buffer they came in to be used again.
import type { Client } from 'ssh2';
import { expect, test } from 'vitest';
import { watchPayloads } from '../../../src/ssh/ssh2/wire.ts';
import { ReadSlabs } from '../../../src/ssh/channels/buffers.ts';

/** True when a message of that type leaves its buffer as it was. */
function leaves(type: number): boolean {
  const slabs = new ReadSlabs();
  slabs.recycle(() => null);
  const protocol = { _onPayload: (): undefined => undefined };
  watchPayloads({ _protocol: protocol } as unknown as Client, slabs);
  const { buffer } = slabs.next();
  slabs.arrived(100, (chunk) => {
    chunk[0] = type;
    (protocol._onPayload as (payload: Buffer) => void)(chunk);
  });
  return slabs.next().buffer === buffer;
}

test('what a connection is made of keeps no buffer: the answer to its open, its data, its end', () => {
  for (const type of [91, 92, 93, 94, 95, 96, 97]) expect([type, leaves(type)]).toEqual([type, true]);
});

test('every other message may be kept in part, and so is its buffer', () => {
  for (const type of [1, 4, 20, 30, 52, 80, 81, 90, 98, 192])
    expect([type, leaves(type)]).toEqual([type, false]);
});
