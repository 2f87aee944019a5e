// A link that is lost while its channels are at work: they end uncleanly, and nothing of it reaches anybody else.
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import ssh2, { type Connection } from 'ssh2';
import { afterEach, describe, expect, test } from 'vitest';
import type { TunnelError } from '../../src/errors.ts';
import { generateKey } from '../../src/demo/ssh-server.ts';
import { GiveUp } from '../../src/model/give-up.ts';
import type { Session } from '../../src/model/session.ts';
import { RemoteFlow } from '../../src/forward/remote.ts';
import { Splice } from '../../src/forward/splice.ts';
import { systemClock } from '../../src/model/clock.ts';
import { readChannel } from '../helpers/channel-reader.ts';
import { failureOf } from '../helpers/failure.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { socketPair } from '../helpers/socket-pair.ts';
import { hostOf, testContext, testDialer } from '../helpers/ssh-dialer.ts';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';

const anew = { via: null, transport: null };
const stops: (() => void)[] = [];

afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

interface Scene {
  readonly session: Session;
  readonly connection: Connection;
  /** Ends the connection as a server does that goes away. */
  cut(): void;
  readonly over: Promise<TunnelError | null>;
}

/** A session with a server that compresses, takes every channel, and echoes nothing. */
async function compressed(): Promise<Scene> {
  const server = new ssh2.Server({
    hostKeys: [generateKey().private],
    algorithms: { compress: ['zlib@openssh.com'] },
  });
  const connected = once(server, 'connection') as Promise<[Connection]>;
  server.on('connection', (connection: Connection) => {
    connection.on('error', () => undefined);
    connection.on('authentication', (context) => context.accept());
    connection.on('ready', () =>
      connection.on('tcpip', (accept) =>
        accept()
          .on('error', () => undefined)
          .resume(),
      ),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stops.push(() => server.close());
  const identity = join(temporaryFolder('lost'), 'key');
  writeFileSync(identity, generateKey().private, { mode: 0o600 });
  const host = hostOf(
    { port: (server.address() as AddressInfo).port, user: 'me', identity },
    { compression: true },
  );
  const session = await testDialer().dialer.dial(host, anew, testContext());
  const [connection] = await connected;
  const { _sock: socket } = connection as unknown as { _sock: Socket };
  stops.push(() => socket.destroy());
  return {
    session,
    connection,
    cut: () => socket.end(),
    over: new Promise((resolve) => session.onEnd(resolve)),
  };
}

const target = { kind: 'tcp', host: 'db.example.org', port: 5432 } as const;
const from = { host: '127.0.0.1', port: 0 };
const limits = { timeoutMs: 60_000 };

/** Runs `act` in every turn of the loop until the link is over: so also after its end was read and before it was told. */
async function untilOver(scene: Scene, act: () => void): Promise<TunnelError | null> {
  let over = false;
  void scene.over.then(() => (over = true));
  scene.cut();
  while (!over) {
    act();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return scene.over;
}

describe('a compressed link that ends under traffic', () => {
  test('is lost, with the reason that it had, and its writers hear nothing of a throw', async () => {
    const scene = await compressed();
    const channel = await scene.session.openChannel(target, from, limits);
    const read = readChannel(channel);
    const reason = await untilOver(scene, () => {
      channel.write(Buffer.from('more'));
      channel.consumed(0);
    });
    expect(reason).toMatchObject({ code: 'LINK_LOST' });
    expect(reason?.message).toContain('the server closed the connection');
    expect(await read.closed).toBe(false);
  });

  test('fails the opens that come in between, whoever gives up on them afterwards', async () => {
    const scene = await compressed();
    const opens: { failed: Promise<{ code: string }>; signal: GiveUp }[] = [];
    await untilOver(scene, () => {
      const signal = new GiveUp();
      opens.push({
        failed: failureOf(scene.session.openChannel(target, from, { ...limits, signal })),
        signal,
      });
    });
    for (const { signal } of opens) signal.abort();
    for (const { failed } of opens) expect((await failed).code).toBe('LINK_LOST');
  });

  test('resets the clients that end and close in between', async () => {
    const scene = await compressed();
    const clients = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const [pair, channel] = await Promise.all([
          socketPair(),
          scene.session.openChannel(target, from, limits),
        ]);
        return { ...pair, channel };
      }),
    );
    const fates: Promise<boolean>[] = [];
    await untilOver(scene, () => {
      const next = clients.pop();
      if (next === undefined) return;
      fates.push(
        new Promise((resolve) => {
          new Splice({
            socket: next.served,
            channel: next.channel,
            traffic: { bytesIn: 0, bytesOut: 0 },
            early: [Buffer.from('all there is')],
            ended: true,
            finished: ({ failed }) => resolve(failed),
          });
          next.client.on('error', () => undefined).destroy();
        }),
      );
    });
    expect(fates.length).toBeGreaterThan(0);
    await Promise.all(fates);
  });

  test('refuses what asks the server for something in between, at once', async () => {
    const scene = await compressed();
    const asked: Promise<{ code: string }>[] = [];
    await untilOver(scene, () => {
      asked.push(
        failureOf(scene.session.listenRemote({ ...target, host: '127.0.0.1' }, () => undefined, limits)),
      );
    });
    for (const failed of asked) expect((await failed).code).toBe('LINK_LOST');
  });
});

test('a flow whose two ends cannot be joined ends alone', async () => {
  const { client, served } = await socketPair();
  const over = new Promise<TunnelError | null>((resolve) => {
    const channel = {
      attach: () => {
        throw new Error('no room');
      },
      consumed: () => undefined,
      write: () => true,
      end: () => undefined,
      close: () => undefined,
    };
    const flow = new RemoteFlow(channel, systemClock, {
      traffic: { bytesIn: 0, bytesOut: 0 },
      remove: (_flow, error) => resolve(error),
    });
    flow.start(() => Promise.resolve({ socket: served, channel }));
  });
  expect((await over)?.message).toContain('no room');
  client.destroy();
  served.destroy();
});
