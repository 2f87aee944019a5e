// The embedded server and the service behind it, seen by a plain ssh2 client.
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { describe, expect, test } from 'vitest';
import { createSandbox, type Sandbox } from '../../src/demo/sandbox.ts';
import { generateKey, startDemoServer } from '../../src/demo/ssh-server.ts';

function dial(port: number, privateKey: string): Promise<ssh2.Client> {
  const client = new ssh2.Client();
  return new Promise((resolve, reject) => {
    client.once('ready', () => resolve(client));
    client.on('error', reject);
    client.once('close', () => reject(new Error('closed')));
    client.connect({ host: '127.0.0.1', port, username: 'demo', privateKey, readyTimeout: 5000 });
  });
}

function forward(client: ssh2.Client, target: string): Promise<ssh2.ClientChannel> {
  const [host = '', port = ''] = target.split(':');
  return new Promise((resolve, reject) =>
    client.forwardOut('127.0.0.1', 1, host, Number(port), (error, channel) =>
      error === undefined ? resolve(channel) : reject(error),
    ),
  );
}

async function roundTrip(channel: ssh2.ClientChannel, text: string): Promise<string> {
  channel.end(text);
  let answer = '';
  for await (const chunk of channel) answer += String(chunk);
  return answer;
}

const keyOf = (sandbox: Sandbox): string => readFileSync(join(sandbox.folder, 'id_ed25519'), 'utf8');

describe('the demo server', () => {
  test('forwards to a service that nobody else reaches', async () => {
    await using sandbox = await createSandbox(tmpdir(), {});
    const client = await dial(sandbox.server.port, keyOf(sandbox));
    expect(await roundTrip(await forward(client, sandbox.target), 'this is a test')).toBe('THIS IS A TEST');
    expect(sandbox.server.logins).toBe(1);
    const stranger = connect(sandbox.service.port, '127.0.0.1');
    stranger.write('let me in');
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => stranger.once('error', resolve));
    expect(error.code).toBe('ECONNRESET');
    client.end();
  });

  test('refuses logins and forwards when told to', async () => {
    await using sandbox = await createSandbox(tmpdir(), {});
    const { server } = sandbox;
    const client = await dial(server.port, keyOf(sandbox));
    server.faults.refuseForward = true;
    await expect(forward(client, sandbox.target)).rejects.toThrow(/open failure/);
    server.faults.refuseLogin = true;
    await expect(dial(server.port, keyOf(sandbox))).rejects.toThrow(/authentication/);
    client.end();
  });

  test('knows one key only', async () => {
    await using sandbox = await createSandbox(tmpdir(), {});
    await expect(dial(sandbox.server.port, generateKey().private)).rejects.toThrow(/authentication/);
  });

  test('stops, resets who was there, and comes back on the same port', async () => {
    await using sandbox = await createSandbox(tmpdir(), {});
    const { server } = sandbox;
    const client = await dial(server.port, keyOf(sandbox));
    const gone = new Promise<void>((resolve) => client.once('close', () => resolve()));
    await server.stop();
    await gone;
    await expect(dial(server.port, keyOf(sandbox))).rejects.toThrow(/ECONNREFUSED/);
    await server.start();
    (await dial(server.port, keyOf(sandbox))).end();
  });

  test('freezes, thaws, and changes its key', async () => {
    const key = generateKey();
    await using server = await startDemoServer({ user: 'demo', authorizedKey: key.public });
    const before = server.fingerprint;
    server.freeze();
    const waiting = dial(server.port, key.private);
    server.thaw();
    (await waiting).end();
    server.changeHostKey();
    expect(server.fingerprint).not.toBe(before);
    (await dial(server.port, key.private)).end();
  });

  test('a sandbox leaves nothing behind', async () => {
    let folder = '';
    {
      await using sandbox = await createSandbox(tmpdir(), { PATH: '/bin', SECRET: 'x' });
      ({ folder } = sandbox);
      expect(sandbox.env).toEqual({ PATH: '/bin', HOME: join(folder, 'home'), TUNNEL_HOME: folder });
    }
    expect(existsSync(folder)).toBe(false);
  });
});
