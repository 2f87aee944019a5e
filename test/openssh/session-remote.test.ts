// Listeners on a real sshd: TCP and unix socket, server-chosen ports, refusals in the server's words, cancelling.
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tcp } from '../../src/model/endpoint.ts';
import type { Channel, Origin, Session } from '../../src/model/session.ts';
import { readChannel } from '../helpers/channel-reader.ts';
import { failureOf } from '../helpers/failure.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { hostOf, testContext, testDialer } from '../helpers/ssh-dialer.ts';
import { sendSignal, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { hintOf } from '../helpers/hint.ts';

const anew = { via: null, transport: null };
const limits = { timeoutMs: 10_000 };

const dial = (sshd: Sshd): Promise<Session> => testDialer().dialer.dial(hostOf(sshd), anew, testContext());

/** Answers each channel with what it got, in capitals. */
const upperCase = (channel: Channel): void =>
  channel.attach({
    data(chunk) {
      channel.write(Buffer.from(chunk.toString().toUpperCase()));
      channel.consumed(chunk.length);
    },
    end: () => channel.end(),
    closed: () => undefined,
    drain: () => undefined,
  });

async function ask(socket: Socket, words: string): Promise<string> {
  let answer = '';
  socket.on('data', (chunk) => (answer += String(chunk)));
  const ended = new Promise((resolve) => socket.once('end', resolve));
  socket.end(words);
  await ended;
  return answer;
}

describe.skipIf(sshdMissing() !== null)('a listener on the server', () => {
  let sshd: Sshd;
  beforeAll(async () => {
    sshd = await startSshd();
  });
  afterAll(() => sshd.stop());

  test('gets the port the server chose, serves, and is gone after its close', async () => {
    const session = await dial(sshd);
    const origins: Origin[] = [];
    const listener = await session.listenRemote(
      tcp('127.0.0.1', 0),
      (channel, origin) => {
        origins.push(origin);
        upperCase(channel);
      },
      limits,
    );
    expect(listener.at).toMatchObject({ kind: 'tcp', host: '127.0.0.1' });
    expect(listener.overriddenBy).toBeNull();
    const port = listener.at.kind === 'tcp' ? listener.at.port : 0;
    expect(port).toBeGreaterThan(0);
    const client = connect(port, '127.0.0.1');
    expect(await ask(client, 'this is a test')).toBe('THIS IS A TEST');
    expect(origins[0]?.host).toBe('127.0.0.1');
    await listener.close(5000);
    await new Promise((resolve) => connect(port, '127.0.0.1').once('error', resolve));
    await session.close();
  });

  test('on a unix socket serves', async () => {
    const session = await dial(sshd);
    const path = join(temporaryFolder('remote'), 'sock');
    const listener = await session.listenRemote({ kind: 'unix', path }, upperCase, limits);
    expect(await ask(connect(path), 'hello')).toBe('HELLO');
    await listener.close(5000);
    await session.close();
  });

  test('is told apart from others of the session', async () => {
    const session = await dial(sshd);
    const hellos = await Promise.all(
      ['one', 'two'].map(async (name) => {
        const { at } = await session.listenRemote(
          tcp('127.0.0.1', 0),
          (channel) => {
            readChannel(channel);
            channel.write(Buffer.from(name));
            channel.end();
          },
          limits,
        );
        return ask(connect(at.kind === 'tcp' ? at.port : 0, '127.0.0.1'), '');
      }),
    );
    expect(hellos).toEqual(['one', 'two']);
    await session.close();
  });

  test('on a taken port is refused, with what may hold it', async () => {
    const [first, second] = [await dial(sshd), await dial(sshd)];
    const { at } = await first.listenRemote(tcp('127.0.0.1', 0), upperCase, limits);
    const refused = await failureOf(second.listenRemote(at, upperCase, limits));
    expect(refused).toMatchObject({ code: 'FORWARD_REFUSED', facts: { forbidden: false } });
    expect(hintOf(refused)).toContain('ClientAliveInterval');
    await first.close();
    await second.close();
  });

  test.each([
    ['AllowTcpForwarding no', 'Server has disabled port forwarding.'],
    ['AllowTcpForwarding local', ''],
    ['PermitListen 127.0.0.1:1', 'port forwarding refused'],
  ])('that the server forbids is refused in its words: %s', async (line, words) => {
    await using own = await startSshd({ config: [line] });
    const session = await dial(own);
    const refused = await failureOf(session.listenRemote(tcp('127.0.0.1', 0), upperCase, limits));
    expect(refused).toMatchObject({ code: 'FORWARD_REFUSED', facts: { forbidden: true } });
    expect(refused.message).toContain(words);
    expect(hintOf(refused)).toMatch(/AllowTcpForwarding.*PermitListen/);
    await session.close();
  });

  test('that GatewayPorts yes has opened to everybody says so', async () => {
    await using own = await startSshd({ config: ['GatewayPorts yes'] });
    const session = await dial(own);
    const listener = await session.listenRemote(tcp('127.0.0.1', 0), upperCase, limits);
    expect(listener.overriddenBy).toBe('0.0.0.0');
    await session.close();
  });

  test('fails with the session that dies under it', async () => {
    await using own = await startSshd();
    const session = await dial(own);
    const listener = await session.listenRemote(tcp('127.0.0.1', 0), upperCase, limits);
    const pids = own.signalSessions('SIGSTOP');
    expect(
      await failureOf(session.listenRemote(tcp('127.0.0.1', 0), upperCase, { timeoutMs: 50 })),
    ).toMatchObject({ code: 'TIMED_OUT' });
    const waiting = failureOf(session.listenRemote(tcp('127.0.0.1', 0), upperCase, limits));
    sendSignal(pids, 'SIGKILL');
    expect((await waiting).code).toBe('LINK_LOST');
    await listener.close(10);
    await session.close();
  });
});
