// Shared reads, and what they lean on of this Node: pinned for each major version that is supported (.ci/run).
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { describe, expect, test, vi } from 'vitest';
import { shareReads } from '../../src/forward/reads.ts';

interface Pair extends AsyncDisposable {
  readonly client: Socket;
  readonly accepted: Socket;
}

async function pair(): Promise<Pair> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' });
  const accepted = await new Promise<Socket>((resolve) =>
    server.once('connection', (socket: Socket) => {
      shareReads(socket);
      resolve(socket.pause());
    }),
  );
  if (client.connecting) await once(client, 'connect');
  return {
    client,
    accepted,
    async [Symbol.asyncDispose]() {
      client.destroy();
      accepted.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** All bytes, copied as they came, and the memories that they came in. */
function collect(socket: Socket): { bytes: Buffer[]; memories: Set<ArrayBufferLike> } {
  const seen = { bytes: [] as Buffer[], memories: new Set<ArrayBufferLike>() };
  socket.on('data', (chunk: Buffer) => {
    seen.bytes.push(Buffer.from(chunk));
    seen.memories.add(chunk.buffer);
  });
  return seen;
}

const text = Buffer.from(Array.from({ length: 400_000 }, (_, at) => `${at} `).join(''));

describe('a socket with shared reads', () => {
  test('brings every byte, then the end, all out of one memory', async () => {
    await using sockets = await pair();
    const { bytes, memories } = collect(sockets.accepted);
    sockets.client.end(text);
    sockets.accepted.resume();
    await once(sockets.accepted, 'end');
    expect(Buffer.concat(bytes).equals(text)).toBe(true);
    expect(memories.size).toBe(1);
    expect(bytes.length).toBeGreaterThan(1);
    expect(sockets.accepted.bytesRead).toBe(text.length);
  });

  test('shares its memory with the others', async () => {
    await using one = await pair();
    await using other = await pair();
    const seen = [collect(one.accepted), collect(other.accepted)];
    one.client.end('one');
    other.client.end('other');
    one.accepted.resume();
    other.accepted.resume();
    await Promise.all([once(one.accepted, 'end'), once(other.accepted, 'end')]);
    const memories = new Set(seen.flatMap((each) => [...each.memories]));
    expect(memories.size).toBe(1);
    expect(seen.map((each) => Buffer.concat(each.bytes).toString())).toEqual(['one', 'other']);
  });

  test('loses nothing while it is paused, again and again', async () => {
    await using sockets = await pair();
    const { accepted, client } = sockets;
    const { bytes } = collect(accepted);
    accepted.on('data', () => {
      accepted.pause();
      setImmediate(() => accepted.resume());
    });
    client.end(text);
    accepted.resume();
    await once(accepted, 'end');
    expect(Buffer.concat(bytes).equals(text)).toBe(true);
  });

  test('answers, is half-closed, and told of a reset, as any other', async () => {
    await using sockets = await pair();
    const { accepted, client } = sockets;
    accepted.on('error', () => undefined);
    client.on('error', () => undefined);
    const answer = collect(client);
    collect(accepted);
    accepted.resume();
    client.end('question');
    await once(accepted, 'end');
    accepted.end('answer');
    await once(client, 'end');
    expect(Buffer.concat(answer.bytes).toString()).toBe('answer');
    await using reset = await pair();
    collect(reset.accepted);
    const failed = once(reset.accepted, 'error');
    reset.accepted.resume();
    reset.client.resetAndDestroy();
    expect(((await failed)[0] as NodeJS.ErrnoException).code).toBe('ECONNRESET');
  });
});

test('a socket of which something was read already reads as Node has it', async () => {
  await using sockets = await pair();
  const plain = connect({ port: sockets.client.remotePort ?? 0, host: '127.0.0.1' });
  plain.on('error', () => undefined);
  plain.unshift(Buffer.from('kept'));
  shareReads(plain);
  expect(String(plain.read())).toBe('kept');
  plain.destroy();
});

test('a Node with other parts reads as it does', async () => {
  vi.resetModules();
  const fresh = await import('../../src/forward/reads.ts');
  const stranger = { _handle: { useUserBuffer: () => expect.unreachable() }, readableLength: 0 };
  fresh.shareReads(stranger as unknown as Socket);
  expect(Object.getOwnPropertySymbols(stranger)).toEqual([]);
});
