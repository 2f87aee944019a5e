// A client before it is served: what is kept of what it sends.
import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { Client } from '../../src/forward/hold.ts';
import { manualClock } from '../helpers/manual-clock.ts';

test('a client that sends byte by byte costs few pieces, and every byte is kept in its place', () => {
  const nothing = (): void => undefined;
  const fake = Object.assign(new EventEmitter(), { pause: nothing, resume: nothing });
  const socket = fake as unknown as Socket;
  const client = new Client(socket, manualClock());
  const all = randomBytes(20_000);
  for (const byte of all) socket.emit('data', Buffer.of(byte));
  const taken = client.take();
  expect(taken.length).toBeLessThan(100);
  expect(Buffer.concat(taken).equals(all)).toBe(true);
});
