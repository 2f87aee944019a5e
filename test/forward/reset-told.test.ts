// A reset is told from an end, whoever has had the error that tells it: the kernel gives it once.
import { writeSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { wasReset } from '../../src/forward/reset.ts';
import { Splice, type Fate } from '../../src/forward/splice.ts';
import { channelPair } from '../helpers/memory-session.ts';

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

/** What the target hears of a client, joined once `before` has happened; it has ended already. */
async function heardByTarget(before: (client: Socket, fd: number) => Promise<void>): Promise<string[]> {
  const { client, here, fd } = await pair();
  const { near, far } = channelPair();
  const heard: string[] = [];
  far.attach({
    data: (chunk) => {
      heard.push(chunk.toString());
      far.consumed(chunk.length);
    },
    end: () => heard.push('end'),
    closed: () => heard.push('closed'),
    drain: () => undefined,
  });
  far.end();
  await before(client, fd);
  const fate = await new Promise<Fate>((finished) => {
    const traffic = { bytesIn: 0, bytesOut: 0 };
    void new Splice({ socket: here, channel: near, traffic, early: [], ended: false, finished });
  });
  expect(fate.failed).toBe(false);
  await new Promise((resolve) => setImmediate(resolve));
  return heard;
}

test('a target that has ended hears the end of a client that ends, and none of a client that was reset', async () => {
  const ended = await heardByTarget((client) => new Promise((resolve) => client.end(resolve)));
  expect(ended).toEqual(['a word', 'end', 'closed']);
  const reset = await heardByTarget((client, fd) => {
    client.resetAndDestroy();
    return vi.waitFor(() => expect(() => writeSync(fd, 'an answer')).toThrow(/ECONNRESET|EPIPE/), {
      interval: 1,
    });
  });
  expect(reset).not.toContain('end');
});

test('an end is none where the socket is closed here already', async () => {
  const { client, here } = await pair();
  here.destroy();
  expect(wasReset(here)).toBe(true);
  client.destroy();
});
