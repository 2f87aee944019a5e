// Names as name servers answer them: anew at each connect, late, wrong, and not at all.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { LookupAddress } from 'node:dns';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { systemClock, type Clock } from '../../../src/model/clock.ts';
import { connectTcp, type TcpConnection } from '../../../src/ssh/transport/tcp.ts';
import { manualClock } from '../../helpers/manual-clock.ts';

type Answer = (error: Error | null, addresses: readonly LookupAddress[]) => void;

const names = vi.hoisted(() => ({ lookup: (_answer: never): void => undefined }));
vi.mock('node:dns', async (original) => ({
  ...(await original<object>()),
  lookup: (_name: string, _options: object, answer: never) => names.lookup(answer),
}));

let server: Server;
let port: number;
let connections: number;
beforeEach(async () => {
  connections = 0;
  server = createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});
afterEach(() => void server.close());

const answers = (does: (answer: Answer) => void): void => {
  names.lookup = does as (answer: never) => void;
};
const at = (address: string): LookupAddress => ({ address, family: 4 });

function connectAs(
  clock: Clock = systemClock,
  timeoutMs = 10_000,
  signal = new AbortController().signal,
): Promise<TcpConnection> {
  const to = {
    hostname: 'gate.example.org',
    port,
    family: 'any',
    bindAddress: null,
    reusesReads: false,
  } as const;
  return connectTcp(to, { timeoutMs, clock, signal });
}

test('a name is looked up at each connect: a server that has moved is found at its new address', async () => {
  answers((answer) => answer(null, [at('127.0.0.2')])); // nobody listens there
  await expect(connectAs()).rejects.toMatchObject({ layer: 'tcp', addresses: ['127.0.0.2'] });
  answers((answer) => answer(null, [at('127.0.0.1')]));
  const { socket, address } = await connectAs();
  socket.destroy();
  expect(address).toBe(`127.0.0.1:${port}`);
});

test('a name that is not answered ends in time, in its DNS step; the answer that comes later connects nobody', async () => {
  const clock = manualClock();
  const late: Answer[] = [];
  answers((answer) => late.push(answer));
  const failed = expect(connectAs(clock, 10_000)).rejects.toMatchObject({
    layer: 'dns',
    timedOut: true,
    message: 'looking up the name took longer than 10s',
  });
  clock.advance(10_000);
  await failed;
  late[0]?.(null, [at('127.0.0.1')]);
  const { socket } = await connectNow(); // and whoever connects now is the only one
  socket.destroy();
  await expect.poll(() => connections).toBe(1);
  expect(clock.armed()).toBe(0);
});

async function connectNow(): Promise<TcpConnection> {
  answers((answer) => answer(null, [at('127.0.0.1')]));
  return connectAs();
}

test.each([
  ['EAI_AGAIN', 'the name server does not answer'],
  ['ENOTFOUND', 'name not found'],
  ['EAI_FAIL', 'the name server failed'],
])('%s is told as what it is', async (code, words) => {
  answers((answer) => answer(Object.assign(new Error(`getaddrinfo ${code}`), { code }), []));
  await expect(connectAs()).rejects.toMatchObject({ layer: 'dns', timedOut: false, message: words });
});

test('a name with no address, or with a hundred dead ones, ends with words of a bearable length', async () => {
  answers((answer) => answer(null, []));
  await expect(connectAs()).rejects.toMatchObject({ layer: 'dns', message: 'the name has no address' });
  answers((answer) =>
    answer(
      null,
      Array.from({ length: 100 }, (_, last) => at(`127.0.1.${last + 1}`)),
    ),
  );
  const failed = await connectAs().catch((thrown: Error) => thrown);
  expect((failed as Error).message.split('; ')).toHaveLength(4);
});

test('a connect that is given up in the very turn in which it is made leaves no socket', async () => {
  answers((answer) => answer(null, [at('127.0.0.1')]));
  const sockets: Socket[] = [];
  const aborts = new AbortController();
  const onSocket = (message: unknown): void => {
    const { socket } = message as { socket: Socket };
    sockets.push(socket);
    socket.once('connect', () => aborts.abort(new Error('given up')));
  };
  subscribe('net.client.socket', onSocket);
  try {
    await expect(connectAs(systemClock, 10_000, aborts.signal)).rejects.toThrow('given up');
  } finally {
    unsubscribe('net.client.socket', onSocket);
  }
  expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true]);
});
