// Logins with keys of a real ssh-agent against a real sshd: which key, how many attempts, and what if the agent is gone.
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createCredentials } from '../../src/ssh/auth/credentials.ts';
import { provenInMemory } from '../../src/ssh/auth/kept.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { bareHost, logIn, testParts } from '../helpers/login.ts';
import { startAgent, type TestAgent } from '../helpers/ssh-agent.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { hintOf } from '../helpers/hint.ts';

describe.skipIf(sshdMissing() !== null)('a login with ten keys in the agent and MaxAuthTries 3', () => {
  let sshd: Sshd & AsyncDisposable;
  let agent: TestAgent;
  const keys: string[] = [];
  const folder = temporaryFolder('agentkeys');

  beforeAll(async () => {
    sshd = await startSshd({ config: ['MaxAuthTries 3'] });
    agent = await startAgent();
    for (let index = 0; index < 10; index += 1) {
      const key = makeKey(join(folder, `key${index}`));
      agent.add(key);
      keys.push(key);
    }
    writeFileSync(sshd.authorizedKeys, readFileSync(`${keys[8]}.pub`));
  });
  afterAll(async () => {
    await agent.stop();
    await sshd.stop();
  });

  test('that wants each use confirmed, with nobody to confirm it, is hinted at signing, not at loading', async () => {
    await using own = await startAgent();
    own.add('-c', keys[8] ?? '');
    const host = inAgent({ agent: { from: 'socket', path: own.socket }, identitiesOnly: false });
    const { error } = await logIn(host);
    expect(error?.message).toContain('the agent did not sign');
    expect(hintOf(error)).toMatch(/let the agent sign/);
    expect(hintOf(error)).not.toContain('ssh-add');
  });

  const inAgent = (over = {}): Parameters<typeof logIn>[0] =>
    bareHost(sshd.port, { agent: { from: 'socket', path: agent.socket }, ...over });

  test('fails without a word on which to use, and the hint says how to name it', async () => {
    const { error, steps } = await logIn(inAgent({ identitiesOnly: false }));
    expect(error).toMatchObject({ code: 'AUTH_REFUSED' });
    expect(hintOf(error)).toContain('identity:');
    expect(steps.length).toBeLessThanOrEqual(4);
  });

  test('succeeds in one offer when a .pub names the key', async () => {
    const { error, record, steps } = await logIn(inAgent({ identities: [`${keys[8]}.pub`] }));
    expect(error).toBeNull();
    expect(record?.accepted).toEqual([expect.stringMatching(/^agent key ED25519 SHA256:\S+ \(test\)$/)]);
    expect(steps).toHaveLength(1);
  });

  test('succeeds in one offer when a key file names the key, signing through the agent', async () => {
    const { record } = await logIn(inAgent({ identities: [keys[8]] }));
    expect(record?.accepted[0]).toMatch(/^agent key/);
  });

  test('signs with the file when the agent does not hold the key', async () => {
    const alone = makeKey(join(folder, 'alone'));
    appendFileSync(sshd.authorizedKeys, readFileSync(`${alone}.pub`));
    const { record } = await logIn(inAgent({ identities: [alone] }));
    expect(record?.accepted[0]).toMatch(/^key ED25519/);
  });

  test('offers first what logged in there before, and what a default file names', async () => {
    const proven = provenInMemory();
    const credentials = createCredentials(testParts({ proven }));
    const named = await logIn(inAgent({ identities: [keys[8]], identitiesOnly: false }), {}, credentials);
    expect(named.steps).toHaveLength(1);
    const again = await logIn(inAgent({ identitiesOnly: false }), {}, credentials);
    expect(again.error).toBeNull();
    expect(again.steps).toHaveLength(1);
  });

  test('offers only proven keys when asked to, and nothing else', async () => {
    const proven = provenInMemory();
    const credentials = createCredentials(testParts({ proven }));
    const refused = await logIn(inAgent({ identities: [`${keys[0]}.pub`] }), {}, credentials);
    const connections = sshd.log().split('Connection from').length;
    const before = await logIn(
      inAgent({ identities: [`${keys[0]}.pub`] }),
      { onlyProven: true, answers: [] },
      credentials,
    );
    expect(before.error?.code).toBe('AUTH_REFUSED');
    expect(before.steps).toEqual([]);
    expect(sshd.log().split('Connection from').length).toBe(connections);
    expect(before.error).toBe(refused.error);
    await logIn(inAgent({ identities: [`${keys[8]}.pub`] }), {}, credentials);
    const after = await logIn(inAgent({ identitiesOnly: false }), { onlyProven: true }, credentials);
    expect(after.error).toBeNull();
    expect(after.steps).toHaveLength(1);
  });

  test('uses the newest agent of the environment that answers', async () => {
    const { error } = await logIn(
      bareHost(sshd.port, { agent: { from: 'environment' }, identities: [`${keys[8]}.pub`] }),
      { agentSockets: [join(folder, 'dead.sock'), agent.socket] },
    );
    expect(error).toBeNull();
  });

  test('fails with AGENT_DOWN when nothing else works, and does without the agent when something does', async () => {
    const dead = { from: 'socket', path: join(folder, 'dead.sock') } as const;
    const down = await logIn(bareHost(sshd.port, { agent: dead, identitiesOnly: false }));
    expect(down.error).toMatchObject({ code: 'AGENT_DOWN' });
    expect(down.error?.message).toContain('its socket is gone');
    const other = makeKey(join(folder, 'other'));
    appendFileSync(sshd.authorizedKeys, readFileSync(`${other}.pub`));
    const fine = await logIn(bareHost(sshd.port, { agent: dead, identities: [other] }));
    expect(fine.error).toBeNull();
  });

  test('is not stopped by an agent that talks nonsense', async () => {
    const path = join(folder, 'nonsense.sock');
    const server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(path);
    const { error } = await logIn(
      bareHost(sshd.port, { agent: { from: 'socket', path }, identitiesOnly: false }),
    );
    server.close();
    expect(error).toMatchObject({ code: 'AGENT_DOWN' });
    expect(error?.message).toContain('does not speak the agent protocol');
  });

  test('with an RSA key of the agent signs with SHA-2', async () => {
    const rsa = makeKey(join(folder, 'rsa'), ['-t', 'rsa', '-b', '2048']);
    agent.add(rsa);
    appendFileSync(sshd.authorizedKeys, readFileSync(`${rsa}.pub`));
    const { error } = await logIn(inAgent({ identities: [`${rsa}.pub`] }));
    expect(error).toBeNull();
    rmSync(rsa);
  });

  test('the digest of circumstances changes with the agent, the key file and the environment only', async () => {
    const credentials = createCredentials(testParts());
    const extra = makeKey(join(folder, 'extra'));
    const host = inAgent({ identities: [extra], password: { from: 'env', name: 'PW' } });
    const at = (variables: Record<string, string>): Promise<string> =>
      credentials.circumstances(host, { variables, agentSockets: [] });
    const first = await at({ PW: 'a', OTHER: '1' });
    expect(await at({ PW: 'a', OTHER: '2' })).toBe(first);
    expect(await at({ PW: 'b' })).not.toBe(first);
    agent.add(extra);
    const second = await at({ PW: 'a' });
    expect(second).not.toBe(first);
    rmSync(extra);
    expect(await at({ PW: 'a' })).not.toBe(second);
  });
});
