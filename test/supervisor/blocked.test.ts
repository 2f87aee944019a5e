// A blocked link: when it looks again, and with what.
import { describe, expect, test } from 'vitest';
import { TunnelError } from '../../src/errors.ts';
import { attendedError, Blocked, environmentDigest, lookAfterMs } from '../../src/supervisor/blocked.ts';
import { noDoubts } from '../../src/supervisor/link-machine.ts';
import { LinkUsers } from '../../src/supervisor/link-users.ts';
import { FakeClock, settle } from '../helpers/fake-clock.ts';
import { FakeDialer, kexFailed, refused } from '../helpers/fake-ssh.ts';
import { hostOf } from '../helpers/fake-world.ts';

const error = (code: 'AUTH_REFUSED' | 'HOST_KEY_CHANGED' | 'SECRET_MISSING', facts = {}): TunnelError =>
  new TunnelError(code, 'why', { facts });

interface Scene {
  readonly blocked: Blocked;
  readonly clock: FakeClock;
  readonly dialer: FakeDialer;
  readonly looks: string[];
}

async function blockedBy(cause: TunnelError, inherited = false): Promise<Scene> {
  const [clock, dialer, looks] = [new FakeClock(), new FakeDialer(), [] as string[]];
  const blocked = new Blocked({ clock, dialer }, hostOf('katie'), new LinkUsers(), {
    look: (how) => looks.push(how),
    changed: () => undefined,
  });
  blocked.follow({ kind: 'connecting', attempt: 0, hurried: 0 }, false);
  blocked.follow({ kind: 'blocked', cause }, inherited);
  await settle();
  return { blocked, clock, dialer, looks };
}

describe('a blocked link', () => {
  test.each([
    [refused(), 5, 'proven'],
    [kexFailed(), 15, 'as before'],
  ])('%s looks again after %i min, offering %s', async (cause, minutes, how) => {
    const { blocked, clock, looks } = await blockedBy(cause);
    expect(blocked.lookAtMs).toBe(clock.monotonic() + minutes * 60_000);
    await clock.advance(minutes * 60_000 - 1);
    expect(looks).toEqual([]);
    await clock.advance(1);
    expect(looks).toEqual([how]);
  });

  test.each([
    [refused(), 'new'],
    [error('SECRET_MISSING'), 'new'],
    [error('HOST_KEY_CHANGED'), 'as before'],
  ])('%s looks again when what a login depends on is another, offering %s', async (cause, how) => {
    const { clock, dialer, looks } = await blockedBy(cause);
    await clock.advance(10_000);
    expect(looks).toEqual([]);
    dialer.digest = 'another';
    await clock.advance(2_000);
    expect(looks).toEqual([how]);
  });

  test('takes a change that came during the attempt for one', async () => {
    const scene = await blockedBy(refused());
    scene.blocked.follow({ kind: 'connecting', attempt: 0, hurried: 0 }, false);
    await settle();
    scene.dialer.digest = 'another';
    scene.blocked.follow({ kind: 'blocked', cause: refused() }, false);
    await settle();
    expect(scene.looks).toEqual(['new']);
  });

  test('compares at once when a command comes, and says so meanwhile', async () => {
    const { blocked, dialer, looks } = await blockedBy(error('SECRET_MISSING'));
    expect(blocked.examining).toBe(false);
    dialer.digest = 'another';
    blocked.examine();
    expect(blocked.examining).toBe(true);
    await settle();
    expect(blocked.examining).toBe(false);
    expect(looks).toEqual(['new']);
  });

  test.each([
    ['of a jump host', refused(), true],
    ['that a person has to see through', attendedError(hostOf('katie'), 'db', true), false],
  ])('%s leaves the look to others', async (_whose, cause, inherited) => {
    const { blocked, clock, dialer, looks } = await blockedBy(cause, inherited);
    dialer.digest = 'another';
    blocked.examine();
    await clock.advance(3_600_000);
    expect([looks, blocked.lookAtMs, clock.pending]).toEqual([[], null, 0]);
  });

  test('leaves no timer behind when it is no longer blocked', async () => {
    const { blocked, clock } = await blockedBy(refused());
    blocked.follow({ kind: 'up', sinceMs: 0, attempt: 0, second: null, doubts: noDoubts }, false);
    await settle();
    expect([clock.pending, blocked.lookAtMs, blocked.examining]).toEqual([0, null, false]);
  });

  test.each([
    [error('AUTH_REFUSED', { proven: true }), true, 0, 5],
    [error('AUTH_REFUSED', { proven: true }), true, 1, 15],
    [error('AUTH_REFUSED', { proven: true }), true, 9, 30],
    [error('AUTH_REFUSED', { proven: true }), false, 0, null],
    [error('AUTH_REFUSED', { proven: false }), true, 0, null],
    [error('AUTH_REFUSED'), true, 0, null],
    [error('HOST_KEY_CHANGED'), false, 3, 15],
    [error('SECRET_MISSING'), true, 0, null],
    [error('SECRET_MISSING', { proven: true }), true, 0, 5],
  ])('%s, auth_retry %s, after %i looks: in %s min', (cause, authRetry, tries, minutes) => {
    const ms = lookAfterMs(cause, hostOf('katie', { authRetry }), tries);
    expect(ms).toBe(minutes === null ? null : minutes * 60_000);
  });

  test('the digest changes with what the host reads from it, and with nothing else', () => {
    const host = hostOf('katie', { password: { from: 'env', name: 'P' }, agent: { from: 'none' } });
    const digest = (variables: Record<string, string>): string =>
      environmentDigest(host, { variables, agentSockets: [] });
    expect(digest({ P: 'secret', Q: '1' })).toBe(digest({ P: 'secret' }));
    expect(new Set([digest({}), digest({ P: '' }), digest({ P: 'secret' })]).size).toBe(3);
    expect(digest({ P: 'secret' })).not.toContain('secret');
  });
});
