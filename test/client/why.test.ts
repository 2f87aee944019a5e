// The findings of `tunnel why`, made from the steps of dials: which layer carries the error, and what is said of the others.
import { describe, expect, test } from 'vitest';
import { configFailure, documentOf, findingsOf, type Dialled } from '../../src/client/why.ts';
import { portsOf, targetsLeftOut, tryLocalPorts, tryRemotePorts } from '../../src/forward/try-ends.ts';
import { TunnelError, type ErrorCode } from '../../src/errors.ts';
import { tcp } from '../../src/model/endpoint.ts';
import type { Forward } from '../../src/model/forward.ts';
import type { Way } from '../../src/model/host.ts';
import type { DialStep } from '../../src/model/session.ts';
import type { ForwardStatus, TunnelStatus } from '../../src/model/status.ts';
import type { Tunnel } from '../../src/model/tunnel.ts';
import { bareHost } from '../helpers/login.ts';

const bastion = bareHost(22, { name: 'bastion', hostname: 'bastion.example' });
const katie = bareHost(22, { name: 'katie', hostname: 'katie.example' });
const near: Way = [bastion];
const far: Way = [bastion, katie];

const step = (
  hop: string,
  layer: DialStep['layer'],
  status: DialStep['status'],
  detail: string = layer,
): DialStep => ({
  hop,
  layer,
  status,
  ms: 1.234,
  detail,
});
const through = (hop: string): DialStep[] =>
  (['dns', 'tcp', 'kex', 'host-key', 'auth'] as const).map((layer) => step(hop, layer, 'ok'));
const failure = (code: ErrorCode, facts = {}): TunnelError =>
  new TunnelError(code, `it failed, on katie.example:22: because`, { hint: 'a command', facts });

/** "hop layer status", and which of them carries the error. */
function told(dialled: Partial<Dialled>): { lines: string[]; blamed: string | null } {
  const findings = findingsOf({ way: near, steps: [], error: null, last: null, ...dialled });
  const lines = findings.map(({ step: { hop, layer, status } }) => `${hop} ${layer} ${status}`);
  expect(findings.filter(({ error }) => error !== null)).toHaveLength(dialled.error == null ? 0 : 1);
  const at = findings.findIndex(({ error }) => error !== null);
  return { lines, blamed: at < 0 ? null : (lines[at] ?? null) };
}

describe('findings', () => {
  test('of a login that went through have a line for each layer of each hop, nearest first', () => {
    const { lines } = told({ way: far, steps: [...through('bastion'), ...through('katie')] });
    expect(lines).toEqual(
      ['bastion', 'katie'].flatMap((hop) =>
        ['dns', 'tcp', 'kex', 'host-key', 'auth'].map((layer) => `${hop} ${layer} ok`),
      ),
    );
  });

  test('of one credential that was offered several times are one line', () => {
    const again = (): DialStep => step('bastion', 'auth', 'failed', 'keyboard-interactive: refused');
    const steps = [...through('bastion').slice(0, 4), again(), again(), again(), again()];
    const findings = findingsOf({
      way: near,
      steps: [...steps, step('bastion', 'auth', 'failed', 'the sum')],
      error: failure('AUTH_REFUSED'),
      last: null,
    }).filter(({ step: { layer } }) => layer === 'auth');
    expect(findings.map(({ step: { detail } }) => detail)).toEqual([
      'keyboard-interactive: refused (4 times)',
    ]);
    expect(findings[0]?.error?.code).toBe('AUTH_REFUSED');
  });

  test.each<[string, ErrorCode, DialStep[], string]>([
    ['a name that is not found', 'UNREACHABLE', [step('bastion', 'dns', 'failed')], 'dns'],
    ['no answer', 'TIMED_OUT', [step('bastion', 'dns', 'ok'), step('bastion', 'tcp', 'failed')], 'tcp'],
    ['no banner', 'TIMED_OUT', [step('bastion', 'tcp', 'ok'), step('bastion', 'kex', 'failed')], 'kex'],
    ['another key', 'HOST_KEY_CHANGED', [step('bastion', 'host-key', 'failed')], 'host-key'],
    ['a known_hosts file that cannot be read', 'HOST_KEY_UNKNOWN', [], 'host-key'],
    ['a key that cannot be read, before anything is sent', 'KEY_UNREADABLE', [], 'auth'],
    [
      'a refusal',
      'AUTH_REFUSED',
      [step('bastion', 'auth', 'failed'), step('bastion', 'auth', 'failed')],
      'auth',
    ],
    ['a jump host that forbids the way', 'FORWARD_REFUSED', [step('bastion', 'tcp', 'failed')], 'tcp'],
  ])('of %s blame one layer and leave the later ones out', (_, code, steps, layer) => {
    const { lines, blamed } = told({ steps, error: failure(code) });
    expect(blamed).toBe(`bastion ${layer} failed`);
    const after = lines.slice(lines.lastIndexOf(`bastion ${layer} failed`) + 1);
    expect(after.every((line) => line.endsWith(' skipped'))).toBe(true);
  });

  test('blame the hop that is not through, and skip those behind it', () => {
    const steps = [...through('bastion'), step('katie', 'tcp', 'failed')];
    const { lines, blamed } = told({ way: far, steps, error: failure('UNREACHABLE') });
    expect(blamed).toBe('katie tcp failed');
    expect(lines.slice(0, 5).every((line) => line.endsWith(' ok'))).toBe(true);
    expect(told({ way: far, error: failure('TIMED_OUT', { layer: 'tcp' }) }).blamed).toBe(
      'bastion tcp failed',
    );
  });

  test('name each credential by itself, not their sum', () => {
    const steps = [
      ...through('bastion').slice(0, 4),
      step('bastion', 'auth', 'failed', 'key A: refused'),
      step('bastion', 'auth', 'ok', 'key B: accepted'),
      step('bastion', 'auth', 'ok', 'key B'),
    ];
    const findings = findingsOf({ way: near, steps, error: null, last: null });
    const auth = findings.filter((finding) => finding.step.layer === 'auth').map((finding) => finding.step);
    expect(auth.map(({ status, detail }) => [status, detail])).toEqual([
      ['failed', 'key A: refused'],
      ['ok', 'key B: accepted'],
    ]);
    expect(documentOf('x', findings)).toMatchObject({ ok: true, error: null });
  });

  test('say of layers that were not reached what they were last time', () => {
    const steps = [step('bastion', 'dns', 'ok'), step('bastion', 'tcp', 'failed')];
    const last = [
      step('bastion', 'kex', 'ok', 'curve25519-sha256, aes128-gcm'),
      step('bastion', 'auth', 'ok', 'key'),
    ];
    const findings = findingsOf({ way: near, steps, error: failure('TIMED_OUT'), last });
    expect(findings[2]?.step.detail).toBe('last time: curve25519-sha256, aes128-gcm');
    expect(findings[3]?.step.detail).toBe('');
    expect(findings[4]?.step.detail).toBe('last time: key');
  });

  test('show no control characters of a server', () => {
    const steps = [step('bastion', 'kex', 'failed', 'it says \u001b[31mred\u0007')];
    const [, , kex] = findingsOf({ way: near, steps, error: failure('KEX_FAILED'), last: null });
    expect(kex?.step.detail).toBe('it says red');
  });
});

test('a document gives the first failure, and times to a hundredth of a millisecond', () => {
  const document = documentOf(
    'x',
    findingsOf({ way: near, steps: through('bastion'), error: null, last: null }),
  );
  expect(document.steps[1]?.ms).toBe(1.23);
  expect(configFailure('x', failure('CONFIG_INVALID'), 2)).toMatchObject({
    ok: false,
    steps: [{ hop: 'x', layer: 'config', status: 'failed' }],
    error: { code: 'CONFIG_INVALID', hint: 'a command' },
  });
});

const local: Forward = {
  type: 'local',
  name: 'db',
  listen: tcp('127.0.0.1', 0),
  target: tcp('db', 5432),
  probe: null,
  protocol: null,
};
const remote: Forward = {
  type: 'remote',
  name: 'hook',
  listen: tcp('127.0.0.1', 8080),
  target: tcp('127.0.0.1', 3000),
  probe: null,
  allow: [],
};
const tunnel = { name: 't', host: 'bastion', ways: [near], forwards: [local, remote] } as unknown as Tunnel;

describe('the ends', () => {
  test('of a tunnel without a link: its ports here are tried, the rest is left out', async () => {
    const findings = [
      ...(await tryLocalPorts(tunnel)),
      ...(await tryRemotePorts(tunnel, null)),
      ...(await targetsLeftOut(tunnel)),
    ];
    expect(findings.map(({ step: { layer, status, detail } }) => [layer, status, detail])).toEqual([
      ['listen', 'ok', 'db: any free port'],
      ['listen', 'skipped', 'hook: 127.0.0.1:8080 on bastion: there is no link to ask over'],
      ['target', 'skipped', 'db: db:5432'],
      ['target', 'skipped', 'hook: 127.0.0.1:3000'],
    ]);
  });

  test('as a supervisor knows them: bound with who waits, or why not', () => {
    const forward = { name: null, type: 'local', listen: '127.0.0.1:1', target: 'x:1', held: 0, error: null };
    const status = (more: Partial<ForwardStatus>): TunnelStatus =>
      ({ host: 'bastion', forwards: [{ ...forward, ...more }] }) as unknown as TunnelStatus;
    const error = {
      code: 'LISTEN_FAILED',
      message: 'listen failed, on it: taken',
      hint: 'h',
      at: '',
    } as const;
    // as every other layer of that hop, or there would seem to be two
    expect(portsOf(tunnel, status({ bound: true, held: 2 }))[0]).toMatchObject({
      step: { hop: near.at(-1)?.name, status: 'ok', detail: '127.0.0.1:1, 2 held' },
      error: null,
    });
    expect(portsOf(tunnel, status({ bound: false, error }))[0]).toMatchObject({
      step: { status: 'failed' },
      error: { code: 'LISTEN_FAILED', hint: 'h' },
    });
    expect(portsOf(tunnel, status({ bound: false }))[0]).toMatchObject({
      step: { status: 'skipped' },
      error: null,
    });
  });
});
