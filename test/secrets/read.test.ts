// Secrets from variables, files and commands: what is taken, what is refused, and that nothing leaks or hangs.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { asTunnelError, type TunnelError } from '../../src/errors.ts';
import { createBindings, createEntries } from '../../src/secrets/entries.ts';
import { createKeychain } from '../../src/secrets/keychain.ts';
import {
  createSecretReader,
  type SecretReaderOptions,
  type StoredRef,
  environmentWithout,
  withheldVariables,
} from '../../src/secrets/read.ts';
import type { Host } from '../../src/model/host.ts';
import type { Tunnel } from '../../src/model/tunnel.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { hintText } from '../../src/render/error.ts';

const folder = temporaryFolder('secrets');

function reading(options: Partial<SecretReaderOptions> = {}, variables: Record<string, string> = {}) {
  const keychain = createKeychain({ spawnArgv: ['/nonexistent'], timeoutMs: 1000, environment: {} });
  const reader = createSecretReader({
    entries: createEntries(keychain, createBindings(join(folder, 'bindings'))),
    isProject: () => false,
    withheld: () => new Set(),
    credentialsDirectory: null,
    ...options,
  });
  const environment = {
    variables: { PATH: process.env['PATH'] ?? '', ...variables },
    agentSockets: [],
  };
  const request = { kind: 'password', name: 'katie', endpoint: 'u@katie:22', environment } as const;
  return {
    reader,
    environment,
    value: async (ref: StoredRef, signal?: AbortSignal) =>
      (await reader.read({ ...request, ref, ...(signal === undefined ? {} : { signal }) })).reveal(),
    refusal: async (ref: StoredRef, signal?: AbortSignal): Promise<TunnelError> => {
      const error: unknown = await reader
        .read({ ...request, ref, ...(signal === undefined ? {} : { signal }) })
        .then(
          () => new Error('no error'),
          (thrown: unknown) => thrown,
        );
      const refused = asTunnelError(error);
      expect(refused.code, refused.message).toBe('SECRET_MISSING');
      expect(refused.hint).not.toBeNull();
      return refused;
    },
  };
}

function file(name: string, content: string | Buffer, mode = 0o600): StoredRef {
  const path = join(folder, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return { from: 'file', path };
}

const sh = (script: string): StoredRef => ({ from: 'command', argv: ['sh', '-c', script] });

describe('a variable', () => {
  test('is read from the environment of the caller', async () => {
    expect(await reading({}, { DB: ' s3cret \n' }).value({ from: 'env', name: 'DB' })).toBe(' s3cret \n');
  });

  test('that is missing or empty is named', async () => {
    for (const variables of [{}, { DB: '' }]) {
      const { message, hint } = await reading({}, variables).refusal({ from: 'env', name: 'DB' });
      expect(message).toContain('variable DB');
      expect(hintText(hint ?? '')).toContain('DB');
    }
  });
});

describe('a file', () => {
  test.each([
    ['plain', 'plain'],
    ['one line end\n', 'one line end'],
    ['two line ends\n\n', 'two line ends\n'],
    ['crlf\r\n', 'crlf'],
    [' blanks stay \n', ' blanks stay '],
    ['ünïcode', 'ünïcode'],
  ])('%j is read as %j', async (content, expected) => {
    expect(await reading().value(file('plain', content))).toBe(expected);
  });

  test.each([
    ['empty', file('empty', '\n'), /empty/],
    ['binary', file('binary', Buffer.from([0xff, 0xfe, 0x41])), /UTF-8/],
    ['too long', file('long', 'x'.repeat(70_000)), /larger than 64 KiB/],
    ['absent', { from: 'file', path: join(folder, 'absent') } as const, /no such file/],
    ['a folder', { from: 'file', path: folder } as const, /it is a folder/],
    ['open to all', file('open', 'planted', 0o644), /0644 lets everybody in/],
    ['open to a group', file('group', 'planted', 0o660), /0660 lets group/],
    ['writable by all', file('writable', 'planted', 0o602), /everybody/],
  ])('that is %s is refused, without its content', async (_, ref, reason) => {
    const error = await reading().refusal(ref);
    expect(error.message).toMatch(reason);
    expect(JSON.stringify([error.message, error.hint, error.facts])).not.toContain('planted');
  });

  test('that is a FIFO does not hang', async () => {
    const path = join(folder, 'fifo');
    execFileSync('mkfifo', ['-m', '600', path]);
    expect((await reading().refusal({ from: 'file', path })).message).toMatch(/regular file/);
  });

  test('below $CREDENTIALS_DIRECTORY is taken whatever its mode, by path or by that name', async () => {
    const credentials = join(folder, 'credentials');
    mkdirSync(credentials);
    writeFileSync(join(credentials, 'db'), 'from systemd\n', { mode: 0o444 });
    chmodSync(join(credentials, 'db'), 0o444);
    const path = join(credentials, 'db');
    expect((await reading().refusal({ from: 'file', path })).message).toMatch(/0444/);
    for (const ref of [path, '$CREDENTIALS_DIRECTORY/db', '${CREDENTIALS_DIRECTORY}/db']) {
      const { value } = reading({ credentialsDirectory: credentials });
      expect(await value({ from: 'file', path: ref })).toBe('from systemd');
    }
    const byCaller = reading({}, { CREDENTIALS_DIRECTORY: credentials });
    expect(await byCaller.value({ from: 'file', path })).toBe('from systemd');
    const without = await reading().refusal({ from: 'file', path: '$CREDENTIALS_DIRECTORY/db' });
    expect(without.message).toMatch(/CREDENTIALS_DIRECTORY is not set/);
    const outside = join(folder, 'outside');
    writeFileSync(outside, 'planted');
    chmodSync(outside, 0o644);
    const { refusal } = reading({ credentialsDirectory: credentials });
    await refusal({ from: 'file', path: join(credentials, '..', 'outside') });
  });

  test('behind a link is judged by what the link leads to', async () => {
    const link = join(folder, 'link');
    symlinkSync(join(folder, 'open'), link);
    await reading().refusal({ from: 'file', path: link });
  });
});

describe('a command', () => {
  test('runs without a shell and gives its output, one line end dropped', async () => {
    expect(await reading().value({ from: 'command', argv: ['printf', '%s\n\n', '$HOME; a b'] })).toBe(
      '$HOME; a b\n',
    );
  });

  test('runs in /, where nobody has laid a program in its way', async () => {
    expect(await reading().value({ from: 'command', argv: ['pwd'] })).toBe('/');
  });

  test("gets the caller's environment without any variable that an env: source names", async () => {
    const { value } = reading({ withheld: () => new Set(['DB']) }, { DB: 'planted', KEEP: 'kept' });
    expect(await value(sh('echo "$KEEP-${DB-none}"'))).toBe('kept-none');
  });

  test.each([
    [
      'fails',
      sh('echo "\u001b[31mno such\u202e entry" >&2; echo more >&2; exit 3'),
      /ended with 3: no such entry$/,
    ],
    ['fails in silence', sh('exit 1'), /ended with 1$/],
    ['dies by a signal', sh('kill -TERM $$'), /SIGTERM/],
    ['prints nothing', sh('exit 0'), /its output is empty/],
    ['prints no text', sh(String.raw`printf '\377\376'`), /UTF-8/],
    ['prints without end', { from: 'command', argv: ['yes'] } as const, /more than a secret/],
    ['is absent', { from: 'command', argv: ['no-such-program', 'planted'] } as const, /no such program/],
    ['is a folder', { from: 'command', argv: ['/tmp', 'planted'] } as const, /may not be run/],
    ['has a NUL in it', { from: 'command', argv: ['echo', 'a\0planted'] } as const, /cannot be started/],
  ])('that %s is an error that says so', async (_, ref, reason) => {
    const error = await reading().refusal(ref);
    expect(error.message).toMatch(reason);
    expect(JSON.stringify([error.message, error.hint, error.facts])).not.toContain('planted');
  });

  test('that takes too long is killed with all it started', async () => {
    const pidFile = join(folder, 'pid');
    const { refusal } = reading({ commandTimeoutMs: 1000 });
    const error = await refusal(sh(`sleep 600 & echo $! > ${pidFile}; wait`));
    expect(error.message).toMatch(/took longer than 1s/);
    await gone(Number(readFileSync(pidFile, 'utf8')));
  });

  test('that is no longer wanted is killed', async () => {
    const pidFile = join(folder, 'pid2');
    const abort = new AbortController();
    const refused = reading().refusal(
      sh(`echo $$ > ${pidFile}.new; mv ${pidFile}.new ${pidFile}; sleep 600`),
      abort.signal,
    );
    while (!existsSync(pidFile)) await new Promise((resolve) => setImmediate(resolve));
    abort.abort();
    expect((await refused).message).toMatch(/no longer wanted/);
    await gone(Number(readFileSync(pidFile, 'utf8')));
    expect((await reading().refusal(sh('echo x'), abort.signal)).message).toMatch(/no longer wanted/);
  });

  test('that leaves a daemon behind with its output open is not waited for', async () => {
    const pidFile = join(folder, 'pid3');
    expect(await reading().value(sh(`sleep 600 & echo $! > ${pidFile}; echo done`))).toBe('done');
    process.kill(Number(readFileSync(pidFile, 'utf8')));
  });
});

/** Resolves when the process has ended; a zombie counts, since nobody here is its parent. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    let state: string;
    try {
      state = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0] ?? '';
    } catch {
      return; // no such process any more
    }
    if (state === 'Z') return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('circumstances', () => {
  test('change with the file or the variable, and tell nothing else', async () => {
    const { reader, environment } = reading({}, { DB: 'planted' });
    const of = (ref: StoredRef, variables: Record<string, string> = environment.variables) =>
      reader.circumstances(ref, { ...environment, variables });
    const env = { from: 'env', name: 'DB' } as const;
    expect(await of(env)).toBe(await of(env));
    expect(await of(env)).not.toBe(await of(env, { ...environment.variables, DB: 'other' }));
    expect(await of(env)).not.toBe(
      await reading({}, { DB: 'planted' }).reader.circumstances(env, environment),
    );
    const path = join(folder, 'changing');
    const ref = { from: 'file', path } as const;
    const absent = await of(ref);
    file('changing', 'planted', 0o644);
    const open = await of(ref);
    chmodSync(path, 0o600);
    expect(new Set([absent, open, await of(ref)]).size).toBe(3);
    expect(await of({ from: 'keychain' })).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('withheld variables', () => {
  test('are those of every host, jump, proxy and SOCKS password', () => {
    const env = (name: string) => ({ from: 'env', name }) as const;
    const host = (over: Partial<Host>): Host =>
      ({ password: null, passphrase: null, totp: null, proxy: null, ...over }) as Host;
    const proxy = { scheme: 'http', host: 'p', port: 1, user: 'u', password: env('D') } as const;
    const tunnel = {
      ways: [
        [host({ password: env('A') }), host({ passphrase: env('B'), proxy })],
        [host({ totp: env('C'), password: { from: 'keychain' } })],
      ],
      forwards: [{ type: 'dynamic', socksAuth: { user: 'u', password: env('E') } }, { type: 'local' }],
    } as unknown as Tunnel;
    const names = withheldVariables({ tunnels: [tunnel], secretVariables: ['A', 'Z'] });
    expect([...names].sort()).toEqual(['A', 'B', 'C', 'D', 'E', 'Z']);
    expect(environmentWithout({ A: '1', F: '2' }, names)).toEqual({ F: '2' });
  });
});
