// Security keys and keys bound to a destination: what only an agent can sign, against a real sshd.
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { appendFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { wireReader, wireString, wireUint32 } from '../../src/keys/wire.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { bareHost, logIn } from '../helpers/login.ts';
import { startAgent } from '../helpers/ssh-agent.ts';
import { makeKey, sshdMissing, startSshd } from '../helpers/sshd.ts';

const type = 'sk-ssh-ed25519@openssh.com';

interface TokenAgent extends AsyncDisposable {
  readonly socket: string;
  readonly line: string;
  readonly signatures: () => number;
}

/** An agent with one security key in software: it signs as a FIDO token would (PROTOCOL.u2f of OpenSSH). */
async function startTokenAgent(): Promise<TokenAgent> {
  const pair = generateKeyPairSync('ed25519');
  const point = pair.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  const blob = Buffer.concat([wireString(type), wireString(point), wireString('ssh:')]);
  const socket = join(temporaryFolder('token'), 'sock');
  let signatures = 0;
  const answer = (message: Buffer): Buffer => {
    if (message[0] === 11)
      return Buffer.concat([Buffer.from([12]), wireUint32(1), wireString(blob), wireString('token')]);
    if (message[0] !== 13) return Buffer.from([5]);
    const reader = wireReader(message.subarray(1));
    reader.string();
    const covered = reader.string();
    signatures += 1;
    const digest = (bytes: string | Buffer): Buffer => createHash('sha256').update(bytes).digest();
    const trailer = Buffer.concat([Buffer.from([1]), wireUint32(signatures)]);
    const signature = sign(null, Buffer.concat([digest('ssh:'), trailer, digest(covered)]), pair.privateKey);
    return Buffer.concat([
      Buffer.from([14]),
      wireString(Buffer.concat([wireString(type), wireString(signature), trailer])),
    ]);
  };
  const server = createServer((connection) => {
    let held = Buffer.alloc(0);
    connection.on('error', () => undefined);
    connection.on('data', (chunk) => {
      held = Buffer.concat([held, chunk]);
      while (held.length >= 4 && held.length >= 4 + held.readUInt32BE(0)) {
        const length = held.readUInt32BE(0);
        connection.write(wireString(answer(held.subarray(4, 4 + length))));
        held = held.subarray(4 + length);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(socket, () => resolve()));
  return {
    socket,
    line: `${type} ${blob.toString('base64')} token`,
    signatures: () => signatures,
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

describe.skipIf(sshdMissing() !== null)('a login with a security key in an agent', () => {
  test('succeeds, and the token is touched once', async () => {
    await using sshd = await startSshd();
    await using token = await startTokenAgent();
    appendFileSync(sshd.authorizedKeys, `${token.line}\n`);
    const { error, record } = await logIn(
      bareHost(sshd.port, { agent: { from: 'socket', path: token.socket }, identitiesOnly: false }),
    );
    expect(error).toBeNull();
    expect(record?.accepted).toEqual([expect.stringMatching(/^agent key ED25519-SK SHA256:\S+ \(token\)$/)]);
    expect(token.signatures()).toBe(1);
  });

  test('does not touch the token for a server that does not want it', async () => {
    await using sshd = await startSshd();
    await using token = await startTokenAgent();
    const { error } = await logIn(
      bareHost(sshd.port, { agent: { from: 'socket', path: token.socket }, identitiesOnly: false }),
    );
    expect(error?.code).toBe('AUTH_REFUSED');
    expect(token.signatures()).toBe(0);
  });

  test('is told when only its file is there', async () => {
    await using sshd = await startSshd();
    await using token = await startTokenAgent();
    const identity = join(sshd.folder, 'id_sk');
    writeFileSync(`${identity}.pub`, `${token.line}\n`);
    const { error } = await logIn(bareHost(sshd.port, { identities: [identity] }));
    expect(error).toMatchObject({ code: 'KEY_UNREADABLE', hint: `ssh-add ${identity}` });
  });
});

describe.skipIf(sshdMissing() !== null)(
  'a login with a key that its agent binds to a destination (ssh-add -h)',
  () => {
    test('succeeds at that destination and nowhere else', async () => {
      await using here = await startSshd();
      await using elsewhere = await startSshd();
      await using agent = await startAgent();
      const known = join(here.folder, 'known_hosts');
      writeFileSync(known, `destination ${here.knownHostsLine().split(' ').slice(1).join(' ')}\n`);
      const key = makeKey(join(here.folder, 'bound'));
      for (const { authorizedKeys } of [here, elsewhere])
        appendFileSync(authorizedKeys, execFileSync('cat', [`${key}.pub`]));
      agent.add('-H', known, '-h', 'destination', key);
      const inAgent = { agent: { from: 'socket', path: agent.socket }, identities: [`${key}.pub`] } as const;
      const there = await logIn(bareHost(here.port, inAgent));
      expect(there.error).toBeNull();
      const other = await logIn(bareHost(elsewhere.port, inAgent));
      expect(other.error?.code).toBe('AUTH_REFUSED');
      expect(other.error?.message).toContain('the agent did not sign (it refused)');
    });
  },
);
