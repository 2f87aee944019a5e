// Logins with user certificates and with several keys against a real sshd.
import { execFileSync } from 'node:child_process';
import { appendFileSync, copyFileSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from 'ssh2';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import { bareHost, logIn } from '../helpers/login.ts';
import { startAgent, type TestAgent } from '../helpers/ssh-agent.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';

const folder = temporaryFolder('cert');
let counter = 0;

/** A key with a certificate of `ca` beside it. */
function certified(ca: string, args: readonly string[], principals = 'root', validity = '-1h:+1h'): string {
  const path = makeKey(join(folder, `key${(counter += 1)}`), args);
  execFileSync('ssh-keygen', [
    '-q',
    '-s',
    ca,
    '-I',
    'tester',
    '-n',
    principals,
    '-V',
    validity,
    `${path}.pub`,
  ]);
  return path;
}

describe.skipIf(sshdMissing() !== null)('a login with a user certificate', () => {
  let sshd: Sshd & AsyncDisposable;
  let agent: TestAgent;
  let ca = '';

  beforeAll(async () => {
    ca = makeKey(join(folder, 'ca'));
    sshd = await startSshd({ config: [`TrustedUserCAKeys ${ca}.pub`, 'MaxAuthTries 3'] });
    agent = await startAgent();
  });
  afterAll(async () => {
    await agent.stop();
    await sshd.stop();
  });

  test.each([
    ['ed25519', ['-t', 'ed25519']],
    ['RSA', ['-t', 'rsa', '-b', '2048']],
    ['ECDSA', ['-t', 'ecdsa', '-b', '384']],
  ])('of an %s key, beside its file, succeeds in one offer', async (_type, args) => {
    const { error, record, steps } = await logIn(bareHost(sshd.port, { identities: [certified(ca, args)] }));
    expect(error).toBeNull();
    expect(record?.accepted).toEqual([
      expect.stringMatching(/^certificate (ED25519|RSA|ECDSA)-CERT SHA256:/),
    ]);
    expect(steps).toHaveLength(1);
  });

  test('named as CertificateFile succeeds', async () => {
    const key = certified(ca, ['-t', 'ed25519']);
    const elsewhere = join(folder, 'elsewhere.pub');
    renameSync(`${key}-cert.pub`, elsewhere);
    const { error } = await logIn(bareHost(sshd.port, { identities: [key], certificates: [elsewhere] }));
    expect(error).toBeNull();
  });

  test('in the agent succeeds, and so does a file’s with the agent’s key', async () => {
    const key = certified(ca, ['-t', 'ed25519']);
    agent.add(key); // takes the certificate beside it too
    const inAgent = { from: 'socket', path: agent.socket } as const;
    const both = await logIn(bareHost(sshd.port, { agent: inAgent, identitiesOnly: false }));
    expect(both.record?.accepted[0]).toMatch(/^agent certificate ED25519-CERT/);
    agent.add('-D');
    const certificate = `${key}-cert.pub`;
    const aside = join(folder, 'aside-cert.pub');
    copyFileSync(certificate, aside);
    rmSync(certificate);
    agent.add(key);
    const mixed = await logIn(
      bareHost(sshd.port, { agent: inAgent, identities: [`${key}.pub`], certificates: [aside] }),
    );
    expect(mixed.record?.accepted[0]).toMatch(/^agent key with certificate ED25519-CERT/);
  });

  test('in the agent of an RSA key signs with SHA-2', async () => {
    agent.add('-D');
    agent.add(certified(ca, ['-t', 'rsa', '-b', '2048']));
    const { error } = await logIn(
      bareHost(sshd.port, { agent: { from: 'socket', path: agent.socket }, identitiesOnly: false }),
    );
    expect(error).toBeNull();
  });

  test('that has expired is offered last and named in the failure', async () => {
    const key = certified(ca, ['-t', 'ed25519'], 'root', '-2h:-1h');
    const { error } = await logIn(bareHost(sshd.port, { identities: [key] }));
    expect(error?.code).toBe('AUTH_REFUSED');
    expect(error?.message).toMatch(/certificate ED25519-CERT .* expired 20\d\d-/);
    expect(sshd.log()).toContain('expired');
  });

  test('for another principal is refused, and the failure tells whom it is for', async () => {
    const key = certified(ca, ['-t', 'ed25519'], 'deploy,admin');
    const { error } = await logIn(bareHost(sshd.port, { identities: [key] }));
    expect(error?.code).toBe('AUTH_REFUSED');
    expect(error?.message).toContain('for deploy, admin');
  });

  test('of a host is not offered', async () => {
    const key = makeKey(join(folder, 'hostlike'));
    execFileSync('ssh-keygen', ['-q', '-s', ca, '-h', '-I', 'box', `${key}.pub`]);
    const { steps } = await logIn(bareHost(sshd.port, { identities: [key] }));
    expect(steps.map(({ detail }) => detail)).toEqual([expect.stringMatching(/^key ED25519/)]);
  });

  test('is not stopped by nonsense beside the key', async () => {
    const key = makeKey(join(folder, 'plain'));
    appendFileSync(sshd.authorizedKeys, readFileSync(`${key}.pub`));
    writeFileSync(`${key}-cert.pub`, 'ssh-ed25519-cert-v01@openssh.com AAAA broken\n');
    expect((await logIn(bareHost(sshd.port, { identities: [key] }))).error).toBeNull();
  });
});

describe.skipIf(sshdMissing() !== null)('a login that needs two keys', () => {
  test('offers each once, in few attempts', async () => {
    await using sshd = await startSshd({
      config: ['AuthenticationMethods publickey,publickey', 'MaxAuthTries 3'],
    });
    const second = makeKey(join(sshd.folder, 'second'), ['-t', 'ecdsa']);
    appendFileSync(sshd.authorizedKeys, readFileSync(`${second}.pub`));
    const host = bareHost(sshd.port, { identities: [sshd.identity, second] });
    const { error, record, steps } = await logIn(host);
    expect(error).toBeNull();
    expect(record?.accepted).toHaveLength(2);
    expect(steps).toHaveLength(2);
    const alone = await logIn(bareHost(sshd.port, { identities: [sshd.identity] }));
    expect(alone.error?.message).toMatch(/the server took key ED25519 .* and wants more/);
  });

  test('works through the agent alone', async () => {
    await using sshd = await startSshd({
      config: ['AuthenticationMethods publickey,publickey', 'MaxAuthTries 3'],
    });
    await using agent = await startAgent();
    const second = makeKey(join(sshd.folder, 'second'), ['-t', 'rsa', '-b', '2048']);
    appendFileSync(sshd.authorizedKeys, readFileSync(`${second}.pub`));
    agent.add(sshd.identity);
    agent.add(second);
    const { error } = await logIn(
      bareHost(sshd.port, { agent: { from: 'socket', path: agent.socket }, identitiesOnly: false }),
    );
    expect(error).toBeNull();
  });
});

describe.skipIf(sshdMissing() !== null)('an RSA key on a server that refuses SHA-1', () => {
  /** Without ext-info-c in our offer the server sends no EXT_INFO. */
  const withoutExtInfo = (client: Client): void => {
    const { _offer: offer } = (client as unknown as { _protocol: { _offer: Offer } })._protocol;
    const { kex, all } = offer.lists;
    const kept = kex.array.filter((name) => name !== 'ext-info-c');
    const words = Buffer.from(kept.join(','));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(words.length);
    const rest = all.subarray(4 + kex.buffer.length);
    offer.lists.all = Buffer.concat([length, words, rest]);
    offer.totalSize = offer.lists.all.length;
    kex.array = kept;
    kex.buffer = words;
  };
  interface Offer {
    totalSize: number;
    lists: { kex: { array: string[]; buffer: Buffer }; all: Buffer };
  }

  test('signs with SHA-2 also when the server sent no EXT_INFO', async () => {
    await using sshd = await startSshd({ config: ['PubkeyAcceptedAlgorithms rsa-sha2-512,rsa-sha2-256'] });
    const key = makeKey(join(sshd.folder, 'rsa'), ['-t', 'rsa', '-b', '2048']);
    appendFileSync(sshd.authorizedKeys, readFileSync(`${key}.pub`));
    const { error } = await logIn(bareHost(sshd.port, { identities: [key] }), { touch: withoutExtInfo });
    expect(error).toBeNull();
    expect(sshd.log()).not.toContain('ssh-rsa-cert');
    expect(sshd.log()).toMatch(/signature algorithm rsa-sha2-512|RSA SHA256:/);
  });

  test('honours pubkey_algorithms: one hash, or SHA-1 where it is named', async () => {
    await using sshd = await startSshd({ config: ['PubkeyAcceptedAlgorithms rsa-sha2-256,ssh-rsa'] });
    const key = makeKey(join(sshd.folder, 'rsa'), ['-t', 'rsa', '-b', '2048']);
    appendFileSync(sshd.authorizedKeys, readFileSync(`${key}.pub`));
    const using256 = (pubkey: string[]): Promise<unknown> =>
      logIn(
        bareHost(sshd.port, { identities: [key], algorithms: { ...bareHost(0).algorithms, pubkey } }),
      ).then(({ error }) => error?.code ?? null);
    expect(await using256(['rsa-sha2-256'])).toBeNull();
    expect(await using256(['ssh-ed25519'])).toBe('AUTH_REFUSED');
  });
});
