// A reset is told from an end, whoever has had the error that tells it: the kernel gives it once.
import { writeSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { wasReset } from '../../src/forward/reset.ts';

let server: Server;
const accepted: Socket[] = [];
beforeAll(async () => {
  server = createServer(
    { allowHalfOpen: true, pauseOnConnect: true },
    (socket) => void accepted.push(socket),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => void server.close());

/** A client that has sent a word, and its connection here, of which nothing is read yet. */
async function pair(): Promise<{ readonly client: Socket; readonly here: Socket; readonly fd: number }> {
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => undefined);
  await new Promise<void>((resolve) => client.write('a word', () => resolve()));
  const here = await vi.waitFor(() => {
    const socket = accepted.pop();
    if (socket === undefined) throw new Error('nothing was accepted yet');
    return socket;
  });
  here.on('error', () => undefined);
  const { fd } = (here as unknown as { readonly _handle: { readonly fd: number } })._handle;
  return { client, here, fd };
}

/** What `wasReset` says when the end comes; null where an error came instead. */
function judged(here: Socket): Promise<boolean | null> {
  return new Promise((resolve) => {
    here.once('end', () => resolve(wasReset(here)));
    here.once('close', () => resolve(null));
    here.resume();
  });
}

test('an end is an end, though something is written', async () => {
  const { client, here, fd } = await pair();
  client.end();
  writeSync(fd, 'an answer');
  expect(await judged(here)).toBe(false);
  here.destroy();
});

test('a reset that a write was told of is no end', async () => {
  const { client, here, fd } = await pair();
  client.resetAndDestroy();
  // the reset has come when a write fails; it takes the error with it
  await vi.waitFor(() => expect(() => writeSync(fd, 'an answer')).toThrow(/ECONNRESET|EPIPE/), {
    interval: 1,
  });
  expect(await judged(here)).not.toBe(false);
  here.destroy();
});
