// The decision that a command waits for: a table of what is, and what `up` and `wait` make of it.
import { expect, test } from 'vitest';
import { TunnelError } from '../../src/errors.ts';
import { decisionOf, lateError, Waiters, type Decided } from '../../src/supervisor/awaited.ts';
import type { TunnelState } from '../../src/model/status.ts';
import { refused, unreachable } from '../helpers/fake-ssh.ts';

function facts(state: TunnelState, error: TunnelError | null = null, more: Partial<Decided> = {}): Decided {
  const timed = error === null ? null : { error, atMs: 0 };
  return {
    wanted: true,
    takenDown: false,
    verdict: { state, error: timed, retryAtMs: null, attempt: 0 },
    link: null,
    status: { name: 'db', state, endpoint: 'me@katie', forwards: [] },
    ...more,
  };
}

const taken = new TunnelError('LISTEN_FAILED', 'listen failed, on :1: held');

test.each([
  ['up', facts('up'), null, null],
  ['asleep', facts('asleep'), null, null],
  ['connecting', facts('connecting'), undefined, undefined],
  ['retrying', facts('retrying', unreachable()), undefined, undefined],
  ['retrying for a port that is taken', facts('retrying', taken), 'LISTEN_FAILED', undefined],
  ['needs-you', facts('needs-you', refused()), 'AUTH_REFUSED', 'AUTH_REFUSED'],
  ['taken down meanwhile', facts('down', null, { takenDown: true, wanted: false }), 'NOT_UP', undefined],
] as const)('a tunnel that is %s', (_what, now, up, wait) => {
  const code = (decision: TunnelError | null | undefined): unknown =>
    decision instanceof TunnelError ? decision.code : decision;
  expect([code(decisionOf('up', now)), code(decisionOf('wait', now))]).toEqual([up, wait]);
});

test('a probe that fails is no matter to `up`, and keeps `exec` waiting', () => {
  const probe = { ok: false, kind: 'tcp', text: 'refused', awaited: false, latencyMs: null, at: '' };
  const forwards = [{ probe }] as unknown as Decided['status']['forwards'];
  const failing = facts('up', null, { status: { ...facts('up').status, forwards } });
  expect([decisionOf('up', failing), decisionOf('exec', failing)]).toEqual([null, undefined]);
  expect(lateError('exec', failing)?.code).toBe('NOT_UP');
  expect(decisionOf('exec', facts('retrying', taken))?.code).toBe('LISTEN_FAILED');
});

test.each([
  ['its last error', facts('retrying', unreachable()), 'UNREACHABLE'],
  ['that it is down', facts('down', null, { wanted: false }), 'NOT_UP'],
  ['that it still connects', facts('connecting'), 'TIMED_OUT'],
] as const)('when the time is over, a tunnel says %s', (_what, now, code) => {
  expect(lateError('up', now)?.code).toBe(code);
});

test('a waiter hears the decision once, or at the end of its time what there is', async () => {
  const waiters = new Waiters();
  let decision: TunnelError | null | undefined;
  const patient = waiters.wait(
    () => decision,
    () => taken,
    new AbortController().signal,
  );
  const hasty = new AbortController();
  const late = waiters.wait(
    () => decision,
    () => taken,
    hasty.signal,
  );
  hasty.abort();
  expect(await late).toBe(taken);
  expect(waiters.waiting).toBe(true);
  decision = null;
  waiters.look();
  expect(await patient).toBeNull();
  expect(waiters.waiting).toBe(false);
});
