// What an sshd forbids, and ports that are not free yet: each is told with the server's setting, and tried again or not.
import { once } from 'node:events';
import { createServer } from 'node:net';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Carrier } from '../../src/model/carrier.ts';
import { tcp, type Endpoint } from '../../src/model/endpoint.ts';
import type { Session } from '../../src/model/session.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  clientOf,
  dialSshd,
  makeCarrier,
  testTarget,
  until,
  type LoggedCarrier,
} from '../helpers/forward-scene.ts';
import { manualClock } from '../helpers/manual-clock.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { watchSocket } from '../helpers/socket-pair.ts';
import { hintOf } from '../helpers/hint.ts';

const base = { name: null, probe: null };
const loopback = tcp('127.0.0.1', 0);

async function withSshd(
  config: readonly string[],
  body: (session: Session, again: () => Promise<Session>) => Promise<void>,
): Promise<void> {
  await using sshd = await startSshd({ config });
  const sessions: Session[] = [];
  const dial = async (): Promise<Session> => {
    const session = await dialSshd(sshd);
    sessions.push(session);
    return session;
  };
  try {
    await body(await dial(), dial);
  } finally {
    for (const session of sessions) await session.close();
  }
}
const remote = (listen: Endpoint, parts = {}): LoggedCarrier =>
  makeCarrier({ ...base, type: 'remote', listen, target: tcp('127.0.0.1', 9), allow: [] }, parts);

/** Connects once through a local forward; the error that is kept. */
async function localError(
  session: Session,
  target: Endpoint,
): Promise<{ message: string; hint: string | null }> {
  const { carrier } = makeCarrier({ ...base, type: 'local', listen: loopback, target, protocol: null });
  await carrier.open();
  carrier.link({ state: 'up', session });
  expect(await watchSocket(clientOf(carrier.status().listen)).ending).toBe('reset');
  const { error, broken, failed } = carrier.status();
  expect({ broken, failed }).toEqual({ broken: false, failed: 1 });
  await carrier.close(0);
  return { message: error?.message ?? '', hint: hintOf(error) };
}
async function refusal(session: Session, listen: Endpoint): Promise<{ carrier: Carrier; armed: number }> {
  const clock = manualClock();
  const { carrier } = remote(listen, { clock });
  carrier.link({ state: 'up', session });
  await until(() => carrier.status().broken);
  return { carrier, armed: clock.armed() };
}

describe.skipIf(sshdMissing() !== null)('the server’s settings', () => {
  test.each([
    ['PermitOpen 127.0.0.1:1', 'PermitOpen'],
    ['AllowTcpForwarding no', 'AllowTcpForwarding'],
    ['AllowTcpForwarding remote', 'AllowTcpForwarding'],
    ['DisableForwarding yes', 'DisableForwarding'],
  ])('%s: a local forward names it', async (line, setting) => {
    await withSshd([line], async (session) => {
      const { message, hint } = await localError(session, tcp('127.0.0.1', 9));
      expect(message).toContain('forbids');
      expect(hint).toContain(setting);
    });
  });

  test('AllowStreamLocalForwarding no: a unix target names it', async () => {
    await withSshd(['AllowStreamLocalForwarding no'], async (session) => {
      const { hint } = await localError(session, { kind: 'unix', path: '/tmp/none' });
      expect(hint).toContain('AllowStreamLocalForwarding');
    });
  });

  test.each([
    ['PermitListen 127.0.0.1:1', 'PermitListen'],
    ['AllowTcpForwarding no', 'AllowTcpForwarding'],
    ['AllowTcpForwarding local', 'AllowTcpForwarding'],
    ['DisableForwarding yes', 'DisableForwarding'],
  ])('%s: a remote forward names it and tries again by the backoff', async (line, setting) => {
    await withSshd([line], async (session, dial) => {
      const { carrier, armed } = await refusal(session, loopback);
      const { error, bound } = carrier.status();
      expect(error?.code).toBe('FORWARD_REFUSED');
      expect(hintOf(error)).toContain(setting);
      expect(bound).toBe(false);
      expect(armed).toBe(1);
      const next = await dial();
      carrier.link({ state: 'up', session: next }); // another link is another chance
      await until(() => carrier.status().broken);
      await carrier.close(0);
    });
  });

  test.each([
    ['PermitListen localhost:*', 'localhost'], // what ssh asks for when nobody names a host (sshd_config(5))
    ['PermitListen 127.0.0.1:*', '127.0.0.1'],
    ['PermitListen any', '127.0.0.1'],
  ])('%s: a bare port listens on %s', async (line, host) => {
    await withSshd([line], async (session) => {
      const { carrier } = remote(loopback);
      carrier.link({ state: 'up', session });
      await until(() => carrier.status().bound);
      expect(carrier.status().listen.split(':')[0]).toBe(host);
      await carrier.close(0);
    });
  });

  test('GatewayPorts yes: what was asked for loopback is shown as exposed', async () => {
    await withSshd(['GatewayPorts yes'], async (session) => {
      const { carrier, logged } = remote(loopback);
      carrier.link({ state: 'up', session });
      await until(() => carrier.status().bound);
      expect(carrier.status()).toMatchObject({ exposed: true, broken: false });
      expect(logged.join()).toContain('GatewayPorts');
      await carrier.close(0);
    });
  });

  test.each(['no', 'clientspecified'])('GatewayPorts %s: loopback is loopback', async (value) => {
    await withSshd([`GatewayPorts ${value}`], async (session) => {
      const { carrier } = remote(loopback);
      carrier.link({ state: 'up', session });
      await until(() => carrier.status().bound);
      expect(carrier.status().exposed).toBe(false);
      await carrier.close(0);
    });
  });
});

describe.skipIf(sshdMissing() !== null)('a remote listener', () => {
  test('is asked for again while an old session holds its port, and the hint names ClientAliveInterval', async () => {
    await withSshd([], async (old, dial) => {
      const port = await freePort();
      const held = remote(tcp('127.0.0.1', port));
      held.carrier.link({ state: 'up', session: old });
      await until(() => held.carrier.status().bound);
      const clock = manualClock();
      const { carrier } = remote(tcp('127.0.0.1', port), { clock });
      const session = await dial();
      carrier.link({ state: 'up', session });
      await until(() => carrier.status().broken);
      expect(hintOf(carrier.status().error)).toContain('ClientAliveInterval');
      expect(clock.armed()).toBe(1);
      await old.close();
      while (!carrier.status().bound) {
        clock.advance(1000);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      expect(carrier.status()).toMatchObject({ broken: false, error: null, listen: `127.0.0.1:${port}` });
      await carrier.close(0);
    });
  });

  test('that waits for its next try is tried at once when asked, and tells when it would have been', async () => {
    await withSshd([], async (session) => {
      const holder = createServer().listen(0, '127.0.0.1');
      await once(holder, 'listening');
      const { port } = holder.address() as { port: number };
      const clock = manualClock();
      const { carrier } = remote(tcp('127.0.0.1', port), { clock });
      carrier.link({ state: 'up', session });
      await until(() => clock.armed() === 1);
      expect(carrier.status()).toMatchObject({ broken: true, retryAtMs: clock.monotonic() + 500 });
      const closed = once(holder, 'close');
      holder.close();
      await closed;
      carrier.retry?.();
      await until(() => carrier.status().bound);
      expect(carrier.status()).toMatchObject({ broken: false, retryAtMs: null });
      await carrier.close(0);
    });
  });

  test('gets the server’s choice for port 0, shows it, and asks for the same again', async () => {
    await withSshd([], async (session, dial) => {
      const { carrier } = remote(loopback);
      expect(carrier.status()).toMatchObject({ listen: '127.0.0.1:0', bound: false });
      carrier.link({ state: 'up', session });
      await until(() => carrier.status().bound);
      const { listen } = carrier.status();
      expect(Number(listen.split(':')[1])).toBeGreaterThan(0);
      await session.close();
      carrier.link({ state: 'away', sinceMs: 0, failures: 0, reached: false });
      expect(carrier.status()).toMatchObject({ bound: false, broken: false });
      carrier.link({ state: 'up', session: await dial() });
      await until(() => carrier.status().bound);
      expect(carrier.status().listen).toBe(listen);
      await carrier.close(0);
    });
  });

  test('is gone from the server when close resolves, and leaves a living session alone', async () => {
    await withSshd([], async (session) => {
      const { carrier } = remote(loopback);
      carrier.link({ state: 'up', session });
      await until(() => carrier.status().bound);
      const port = Number(carrier.status().listen.split(':')[1]);
      await carrier.close(0);
      const free = createServer().listen(port, '127.0.0.1');
      await once(free, 'listening');
      free.close();
      expect(await session.ping(1000)).toBeGreaterThanOrEqual(0);
    });
  });

  test('a target that is not there resets one connection, with its reason', async () => {
    await withSshd([], async (session) => {
      const target = await testTarget('tcp');
      await target.stop();
      const { carrier } = makeCarrier({
        ...base,
        type: 'remote',
        listen: loopback,
        target: target.at,
        allow: [],
      });
      carrier.link({ state: 'up', session });
      await until(() => carrier.status().bound);
      await watchSocket(clientOf(carrier.status().listen)).ending;
      await until(() => carrier.status().failed === 1);
      expect(carrier.status()).toMatchObject({ open: 0, total: 1, broken: false, bound: true });
      expect(carrier.status().error?.message).toContain('connection refused');
      await carrier.close(0);
    });
  });

  test.each([
    ['cleared away where the server has SFTP', ['Subsystem sftp internal-sftp']],
    ['explained where it has not', []],
  ])('an old socket file in the way is %s', async (_name, config) => {
    await withSshd(config, async (session, dial) => {
      const path = join(temporaryFolder('stale'), 's');
      const { carrier } = remote({ kind: 'unix', path });
      carrier.link({ state: 'up', session });
      await until(() => carrier.status().bound);
      await session.close(); // sshd leaves the file
      expect(existsSync(path)).toBe(true);
      carrier.link({ state: 'up', session: await dial() });
      if (config.length > 0) await until(() => carrier.status().bound);
      else await until(() => carrier.status().broken);
      if (config.length === 0) expect(hintOf(carrier.status().error)).toContain('StreamLocalBindUnlink');
      await carrier.close(0);
      expect(existsSync(path)).toBe(config.length === 0);
    });
  });

  test('a socket file that somebody serves is left alone', async () => {
    await withSshd(['Subsystem sftp internal-sftp'], async (session, dial) => {
      const path = join(temporaryFolder('alive'), 's');
      const first = remote({ kind: 'unix', path });
      first.carrier.link({ state: 'up', session });
      await until(() => first.carrier.status().bound);
      const clock = manualClock();
      const second = remote({ kind: 'unix', path }, { clock });
      second.carrier.link({ state: 'up', session: await dial() });
      await until(() => clock.armed() === 1);
      expect(second.carrier.status()).toMatchObject({ bound: false, broken: true });
      expect(existsSync(path)).toBe(true);
      await second.carrier.close(0);
      await first.carrier.close(0);
    });
  });
});
