// Trusting host keys against real sshds: what is shown, asked, stored, and what the server saw of us.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { callerEnvironment } from '../../src/model/environment.ts';
import { probeWay } from '../../src/client/why.ts';
import { openSsh } from '../../src/ssh/parts.ts';
import {
  trustWay,
  trustWays,
  type PresentedKey,
  type TrustOutcome,
  type TrustTerms,
} from '../../src/client/trusting.ts';
import { systemClock } from '../../src/model/clock.ts';
import type { Host, Way } from '../../src/model/host.ts';
import type { DialStep } from '../../src/model/session.ts';
import { placesOf, type PlaceFacts } from '../../src/paths.ts';
import { hostOf } from '../helpers/fake-world.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { testContext } from '../helpers/ssh-dialer.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { hinting } from '../helpers/hint.ts';

const asked: TrustTerms = { yes: false, fingerprint: null, replace: false, also: false };

interface World {
  readonly store: string;
  readonly shown: PresentedKey[];
  readonly steps: DialStep[];
  readonly told: TrustOutcome[];
  trust(way: Way, terms?: Partial<TrustTerms>, answer?: string | null): Promise<void>;
  probe(way: Way): ReturnType<typeof probeWay>;
  trustWays(ways: readonly [Way, ...Way[]]): Promise<void>;
}

function createWorld(): World {
  const home = temporaryFolder('trust');
  const facts: PlaceFacts = {
    env: { HOME: home, TUNNEL_HOME: home },
    platform: process.platform,
    uid: process.getuid?.() ?? 0,
    home,
    tmpdir: home,
    hostname: 'here',
    cwd: home,
  };
  const places = placesOf(facts);
  const ssh = openSsh({
    facts,
    places,
    clock: systemClock,
    log: () => undefined,
    program: ['false'],
    project: false,
    config: () => null,
    writable: true,
  });
  const shown: PresentedKey[] = [];
  const told: TrustOutcome[] = [];
  const steps: DialStep[] = [];
  const context = testContext(null, {
    signal: AbortSignal.timeout(30_000),
    environment: callerEnvironment({}),
    step: (step) => steps.push(step),
  });
  const request = (
    terms: Partial<TrustTerms>,
    answer: string | null,
  ): Omit<Parameters<typeof trustWay>[0], 'way'> => ({
    terms: { ...asked, ...terms },
    ssh,
    context,
    now: () => Date.now(),
    confirm(key) {
      shown.push(key);
      return Promise.resolve(answer);
    },
  });
  const tell = (outcome: TrustOutcome): void => void told.push(outcome);
  return {
    store: places.knownHosts,
    shown,
    steps,
    told,
    trust: (way, terms = {}, answer = 'yes') => trustWay({ ...request(terms, answer), way }, tell),
    trustWays: (ways) => trustWays(ways, request({}, 'yes'), tell),
    probe: (way) => probeWay(way, ssh, context),
  };
}

function hostAt(sshd: Sshd, more: Partial<Host> = {}): Host {
  return hostOf('katie', {
    hostname: '127.0.0.1',
    port: sshd.port,
    user: sshd.user,
    identities: [sshd.identity],
    identitiesOnly: true,
    agent: { from: 'none' },
    ...more,
  });
}

const stored = (world: World): string => (existsSync(world.store) ? readFileSync(world.store, 'utf8') : '');

describe.skipIf(sshdMissing() !== null)('trust', () => {
  test('shows a new key, stores it once confirmed, and never begins a login', async () => {
    await using sshd = await startSshd();
    const world = createWorld();
    await world.trust([hostAt(sshd)]);
    expect(world.shown).toMatchObject([
      {
        host: 'katie',
        address: `127.0.0.1:${sshd.port}`,
        keyType: 'ssh-ed25519',
        fingerprint: sshd.fingerprint(),
      },
    ]);
    expect(world.shown[0]?.randomart).toHaveLength(11);
    expect(stored(world).trim()).toBe(sshd.knownHostsLine());
    expect(world.told).toMatchObject([{ kind: 'stored', at: { file: world.store, line: 1 } }]);
    expect(sshd.log()).not.toMatch(/userauth-request|Accepted|Failed/);
    await world.trust([hostAt(sshd)]);
    expect(world.shown).toHaveLength(1);
    expect(world.told[1]).toMatchObject({ kind: 'known' });
  });

  test('stores nothing when it is declined, or another fingerprint is pasted', async () => {
    await using sshd = await startSshd();
    const world = createWorld();
    await expect(world.trust([hostAt(sshd)], {}, null)).rejects.toMatchObject({ code: 'HOST_KEY_UNKNOWN' });
    await expect(world.trust([hostAt(sshd)], {}, `SHA256:${'A'.repeat(43)}`)).rejects.toThrow(
      'not the one of this key',
    );
    expect(stored(world)).toBe('');
    await world.trust([hostAt(sshd)], {}, sshd.fingerprint());
    expect(stored(world)).not.toBe('');
  });

  test('by fingerprint takes a key of any type that the server offers, and nothing else', async () => {
    await using sshd = await startSshd({ hostKeyTypes: ['ed25519', 'rsa'] });
    const world = createWorld();
    await expect(
      world.trust([hostAt(sshd)], { fingerprint: `SHA256:${'A'.repeat(43)}` }),
    ).rejects.toMatchObject({
      code: 'HOST_KEY_UNKNOWN',
      message: expect.stringContaining(sshd.fingerprint('rsa')),
    });
    expect(stored(world)).toBe('');
    await world.trust([hostAt(sshd)], { fingerprint: sshd.fingerprint('rsa') });
    expect(stored(world).trim()).toBe(sshd.knownHostsLine('rsa'));
    expect(world.shown).toEqual([]);
  });

  test('refuses a changed key unless told to replace it, and then revokes the old one', async () => {
    await using sshd = await startSshd();
    const world = createWorld();
    await world.trust([hostAt(sshd)], { yes: true });
    const old = sshd.fingerprint();
    await sshd.stop();
    sshd.changeHostKey();
    await sshd.start();
    await expect(world.trust([hostAt(sshd)], { yes: true })).rejects.toMatchObject({
      code: 'HOST_KEY_CHANGED',
      hint: hinting(/--replace/),
    });
    await world.trust([hostAt(sshd)], { replace: true });
    expect(world.shown[0]?.known).toMatchObject([{ fingerprint: old, place: `${world.store}:1` }]);
    expect(world.told.at(-1)).toMatchObject({ kind: 'replaced', revoked: [{ fingerprint: old }] });
    expect(stored(world)).toContain(sshd.knownHostsLine());
    expect(stored(world)).toContain('@revoked');
  });

  test('adds a second key beside the first one with --also', async () => {
    await using sshd = await startSshd();
    const world = createWorld();
    await world.trust([hostAt(sshd)], { yes: true });
    const first = sshd.knownHostsLine();
    await sshd.stop();
    sshd.changeHostKey();
    await sshd.start();
    await world.trust([hostAt(sshd)], { also: true, yes: true });
    expect(world.told.at(-1)).toMatchObject({ kind: 'added' });
    expect(stored(world)).toContain(first);
    expect(stored(world)).toContain(sshd.knownHostsLine());
    expect(stored(world)).not.toContain('@revoked');
  });

  test('goes through every unknown hop in turn, logging in to the jump host only', async () => {
    await using bastion = await startSshd();
    await using target = await startSshd();
    const world = createWorld();
    const hidden = hostAt(target, { name: 'inner', identities: ['/nowhere'] });
    await world.trust([hostAt(bastion, { name: 'outer' }), hidden]);
    expect(world.shown.map(({ host }) => host)).toEqual(['outer', 'inner']);
    expect(stored(world).trim().split('\n')).toEqual([bastion.knownHostsLine(), target.knownHostsLine()]);
    expect(bastion.log()).toContain('Accepted publickey');
    expect(target.log()).not.toMatch(/userauth-request|Accepted|Failed/);
    expect(world.told.map(({ kind }) => kind)).toEqual(['stored', 'stored']);
  });

  test('takes the next way where one does not lead there', async () => {
    await using sshd = await startSshd();
    const world = createWorld();
    const dead = hostOf('dead', { hostname: '127.0.0.1', port: await freePort() });
    await world.trustWays([[dead, hostAt(sshd)], [hostAt(sshd)]]);
    expect(stored(world).trim()).toBe(sshd.knownHostsLine());
  });
});

describe.skipIf(sshdMissing() !== null)('a probe', () => {
  test('logs in once and tells each step, or what failed', async () => {
    await using sshd = await startSshd();
    const world = createWorld();
    expect(await world.probe([hostAt(sshd)])).toMatchObject({ code: 'HOST_KEY_UNKNOWN' });
    await world.trust([hostAt(sshd)], { yes: true });
    world.steps.splice(0);
    expect(await world.probe([hostAt(sshd)])).toBe(null);
    expect(world.steps.every(({ status, hop }) => status === 'ok' && hop === 'katie')).toBe(true);
    expect(new Set(world.steps.map(({ layer }) => layer))).toEqual(
      new Set(['tcp', 'kex', 'host-key', 'auth']),
    );
    writeFileSync(sshd.authorizedKeys, '');
    expect(await world.probe([hostAt(sshd)])).toMatchObject({ code: 'AUTH_REFUSED' });
  });
});
