// Attended links through a night, against the log of a real sshd: TCP is retried, and no login is begun without a person.
import { describe, expect, test } from 'vitest';
import type { Host, Way } from '../../src/model/host.ts';
import { local, offTerminal, tunnelOf } from '../helpers/fake-world.ts';
import {
  entered,
  loseSessions,
  minuteMs,
  startNight,
  visits,
  visitsSoFar,
  type Night,
} from '../helpers/night.ts';
import { authenticator, codesMissing } from '../helpers/one-time-codes.ts';
import { namespaceMissing, privateEtc } from '../helpers/private-etc.ts';
import { hostOf } from '../helpers/ssh-dialer.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { request } from '../helpers/targets.ts';
import { requests } from '../helpers/ways-in.ts';

const hourMs = 60 * minuteMs;
const permit = ['account', 'session', 'password'].map((type) => `${type} required pam_permit.so`);

/** A server that wants a key, and then what these lines of a PAM stack ask for. */
async function secondFactor(...auth: string[]): Promise<Sshd & AsyncDisposable> {
  const { launcher } = privateEtc([...auth, 'auth optional pam_permit.so', ...permit]);
  const methods = 'AuthenticationMethods publickey,keyboard-interactive';
  return startSshd({ launcher, config: ['UsePAM yes', 'KbdInteractiveAuthentication yes', methods] });
}

/** A night with one tunnel `db` that waits hours, as the night goes by, between two tries. */
async function nightAt(sshd: Sshd, more: Partial<Host> = {}): Promise<Night & { port: number }> {
  const port = await freePort();
  const host = hostOf(sshd, { auth: ['publickey', 'keyboard-interactive'], ...more });
  const reconnect = { initialMs: hourMs, maxMs: hourMs };
  const tunnel = tunnelOf('db', [host], local(port, '127.0.0.1:9'), { reconnect });
  return Object.assign(await startNight(tunnel), { port });
}

/** Lost, away for hours, and back: one TCP connection that says nothing; from then on not even that. */
async function expectNoLogin(night: Night & { port: number }, sshd: Sshd): Promise<void> {
  await entered(sshd);
  await sshd.stop();
  const before = { begun: requests(sshd), seen: visitsSoFar(sshd).length };
  await night.until('db', ({ state }) => state === 'retrying');
  for (let hour = 0; hour < 8; hour += 1) expect((await night.look('db')).state).toBe('retrying');
  await sshd.start();
  const probes = (await visits(sshd)).length; // of `start`, which looks whether it answers
  const back = await night.look('db');
  expect(back).toMatchObject({ state: 'needs-you', retryAt: null, error: { code: 'SECRET_MISSING' } });
  expect(back.error?.message).toBe('test is back and wants your second factor: tunnel up db');
  const after = await visits(sshd);
  expect(after.length - probes).toBe(1);
  expect(after.slice(before.seen).flatMap(({ attempts }) => attempts)).toEqual([]);

  night.clock.advance(24 * hourMs);
  night.engine.lookAround('woke');
  night.engine.recheck([]);
  expect(await night.up('db', offTerminal)).toBe('SECRET_MISSING');
  for (let client = 0; client < 3; client += 1)
    expect((await request(night.port, 'hello', { halfClose: false })).error).toBe('ECONNRESET');
  const { state, since, error, retryAt } = back;
  expect(night.one('db')).toMatchObject({ state, since, error, retryAt });
  expect(await visits(sshd)).toEqual(after);
  expect(requests(sshd)).toBe(before.begun);
}

describe.skipIf((sshdMissing() ?? namespaceMissing()) !== null)('a link that needed', () => {
  test.skipIf(codesMissing() !== null)('a typed code begins no login at night', async () => {
    const codes = authenticator(3);
    await using sshd = await secondFactor(codes.pam());
    await using night = await nightAt(sshd);
    const asked: string[] = [];
    const person = ({ text }: { text: string }): string => {
      asked.push(text);
      return codes.code();
    };
    expect(await night.upAtTerminal('db', person)).toBeNull();
    await expectNoLogin(night, sshd);
    codes.reset(); // in half a minute the next code would be there
    expect(await night.upAtTerminal('db', person)).toBeNull();
    expect(asked).toEqual(['Verification code:', 'Verification code:']);
    await night.engine.down(['db'], 0);
    expect((await visits(sshd)).at(-1)?.attempts.at(-1)).toBe('Accepted keyboard-interactive/pam');
  });

  test('a push begins no login at night', async () => {
    await using sshd = await secondFactor('auth required pam_permit.so'); // asks nothing, as a module that pushes
    await using night = await nightAt(sshd);
    const nothing = (): never => {
      throw new Error('nothing is asked');
    };
    expect(await night.upAtTerminal('db', nothing)).toBeNull();
    await expectNoLogin(night, sshd);
    expect(await night.upAtTerminal('db', nothing)).toBeNull();
  });

  test('a person at its jump host begins no login at night, neither there nor behind it', async () => {
    await using bastion = await secondFactor('auth required pam_permit.so');
    await using server = await startSshd();
    const jump = hostOf(bastion, { name: 'bastion', auth: ['publickey', 'keyboard-interactive'] });
    const way: Way = [jump, hostOf(server, { name: 'server' })];
    const forward = local(await freePort(), '127.0.0.1:9');
    await using night = await startNight(tunnelOf('db', way, forward));
    expect(await night.upAtTerminal('db', () => null)).toBeNull();
    await loseSessions(bastion, night);
    const { error } = await night.until('db', ({ state }) => state === 'needs-you');
    expect(error?.message).toBe('bastion is back and wants your second factor: tunnel up db');
    const [first, back] = await visits(bastion);
    expect([first?.attempts.at(-1), back?.attempts]).toEqual(['Accepted keyboard-interactive/pam', []]);
    night.clock.advance(24 * hourMs);
    night.engine.lookAround('woke');
    expect(await night.up('db', offTerminal)).toBe('SECRET_MISSING');
    expect(await visits(bastion)).toHaveLength(2);
    expect(await visits(server)).toHaveLength(1);
    expect(await night.upAtTerminal('db', () => null)).toBeNull();
  });

  test('what the config says is attended begins no login at night, though a key alone would do', async () => {
    await using sshd = await startSshd();
    await using night = await nightAt(sshd, { attended: true });
    expect(await night.upAtTerminal('db', () => null)).toBeNull();
    await expectNoLogin(night, sshd);
    expect(await night.upAtTerminal('db', () => null)).toBeNull();
  });
});
