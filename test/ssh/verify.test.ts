// The check of a host key: which line of known_hosts a login was vouched for by.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { HostKeyCheck, type Accepted, type Decision } from '../../src/ssh/verify.ts';
import { fingerprint } from '../../src/keys/fingerprint.ts';
import { listKeys, type ListedKey } from '../../src/trust/list.ts';
import { createTrustStore } from '../../src/trust/store.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { bareHost } from '../helpers/login.ts';
import { testContext } from '../helpers/ssh-dialer.ts';
import { certify, testKey } from '../trust/keys.ts';
import { hintOf } from '../helpers/hint.ts';

const now = Date.UTC(2026, 10, 22);

/** Presents a key under `katie` to a store of these lines, proves it, and lists what is known then. */
async function proved(lines: readonly string[], presented: Buffer): Promise<readonly ListedKey[]> {
  const file = join(temporaryFolder('verify'), 'known_hosts');
  writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
  const store = createTrustStore({ file, now: () => now });
  const known = await store.read([]);
  const host = bareHost(22, { hostname: 'katie' });
  const log = (): void => undefined;
  const check = new HostKeyCheck({
    host,
    known,
    trust: store,
    context: testContext(),
    confirmed: null,
    log,
  });
  const decision = await check.judge(presented);
  expect(decision).toMatchObject({ accepted: true, store: false });
  await check.proved(decision as Accepted);
  await store.seen.update(() => undefined); // writes follow one another: the mark is there after this one
  return listKeys((await store.read([])).entries, await store.seen.read());
}

test('a certificate that a CA vouches for marks the line of the CA as used, not the key in it', async () => {
  const ca = testKey();
  const key = testKey();
  const { blob } = certify(ca, key, ['-h', '-I', 'katie', '-n', 'katie', '-V', 'always:forever']);
  const [line] = await proved([`@cert-authority * ${ca.line}`], blob);
  expect(line).toMatchObject({
    marker: 'cert-authority',
    fingerprint: fingerprint(ca.blob),
    lastUsed: new Date(now).toISOString(),
  });
});

test('a plain key marks its own line as used, and no other', async () => {
  const [key, other] = [testKey(), testKey(['-t', 'ecdsa'])];
  const lines = await proved([`katie ${key.line}`, `katie ${other.line}`], key.blob);
  expect(lines.map(({ lastUsed }) => lastUsed)).toEqual([new Date(now).toISOString(), null]);
});

test('a certificate that does not count is no plain key where only certificates are listed', async () => {
  const key = testKey();
  const { blob } = certify(testKey(), key, ['-h', '-I', 'katie', '-n', 'katie']);
  const rsa = testKey(['-t', 'rsa', '-b', '2048']);
  const { blob: rsaBlob } = certify(testKey(), rsa, ['-h', '-I', 'katie', '-n', 'katie']);
  const file = join(temporaryFolder('verify'), 'known_hosts');
  writeFileSync(file, `katie ${key.line}\nkatie ${rsa.line}\n`, { mode: 0o600 });
  const store = createTrustStore({ file, now: () => now });
  const known = await store.read([]);
  const judge = (presented: Buffer, listed: readonly string[] | null): unknown =>
    new HostKeyCheck({
      host: bareHost(22, {
        hostname: 'katie',
        algorithms: { kex: null, cipher: null, mac: null, hostKey: listed, pubkey: null },
      }),
      known,
      trust: store,
      context: testContext(),
      confirmed: null,
      log: () => undefined,
    }).judge(presented);
  const certificates = ['ssh-ed25519-cert-v01@openssh.com', 'rsa-sha2-512-cert-v01@openssh.com'];
  expect(judge(blob, certificates)).toMatchObject({ accepted: false, error: { code: 'HOST_KEY_UNKNOWN' } });
  expect(judge(rsaBlob, certificates)).toMatchObject({ accepted: false });
  expect(judge(blob, [...certificates, 'ssh-ed25519'])).toMatchObject({ accepted: true });
  expect(judge(rsaBlob, [...certificates, 'rsa-sha2-256'])).toMatchObject({ accepted: true });
  expect(judge(blob, null)).toMatchObject({ accepted: true });
  expect(judge(key.blob, ['ssh-ed25519'])).toMatchObject({ accepted: true });
});

test('a key that our own store has revoked may be taken back, one that another file has may not', async () => {
  const key = testKey();
  const folder = temporaryFolder('verify');
  const [file, foreign] = [join(folder, 'known_hosts'), join(folder, 'foreign')];
  const store = createTrustStore({ file, now: () => now });
  const hintTold = async (own: string, other: string): Promise<string> => {
    writeFileSync(file, own, { mode: 0o600 });
    writeFileSync(foreign, other);
    const check = new HostKeyCheck({
      host: bareHost(2222, { hostname: 'katie' }),
      known: await store.read([foreign]),
      trust: store,
      context: testContext(),
      confirmed: null,
      log: () => undefined,
    });
    const decision = (await check.judge(key.blob)) as Decision;
    return decision.accepted ? '' : (hintOf(decision.error) ?? '');
  };
  const revoked = `@revoked [katie]:2222 ${key.line}\n`;
  expect(await hintTold(revoked, '')).toContain("by mistake: tunnel hosts forget '[katie]:2222' --revoked");
  expect(await hintTold('', revoked)).not.toContain('forget');
});
