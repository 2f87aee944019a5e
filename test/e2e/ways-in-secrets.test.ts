// Secrets through the built program: planted in every source, then looked for in everything it wrote, said and started.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import { namespaceMissing, passwordPam, privateEtc } from '../helpers/private-etc.ts';
import { startProxy } from '../helpers/proxy.ts';
import { makeKey, sshdMissing, startSshd } from '../helpers/sshd.ts';
import { createWorld, type World } from '../helpers/world.ts';

const word = 'pl4nted';
const missing = sshdMissing() ?? namespaceMissing();

/** A secret in each spelling that it could leak in. */
function spellings(secret: string): string[] {
  const bytes = Buffer.from(secret);
  return [
    secret,
    bytes.toString('base64').replace(/=+$/, ''),
    bytes.toString('hex'),
    encodeURIComponent(secret),
  ];
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesBelow(path);
    return entry.isFile() ? [path] : [];
  });
}

/** Command line and environment of a process and all below it. */
function processes(pid: number): string[] {
  const read = (name: string): string => {
    try {
      return readFileSync(`/proc/${pid}/${name}`, 'utf8');
    } catch {
      return '';
    }
  };
  const children = read(`task/${pid}/children`).trim().split(' ').filter(Boolean).map(Number);
  return [`${pid}: ${read('cmdline')} ${read('environ')}`, ...children.flatMap(processes)];
}

/** Runs every command that tells something, and keeps what it said; then what the supervisor and its children show. */
async function everything(world: World, env: Record<string, string>): Promise<string[]> {
  const said: string[] = [];
  const commands = [
    ['up', '--verbose'],
    ['up', '--json'],
    ['status'],
    ['status', '--json'],
    ['status', '--all', '--json'],
    ['show'],
    ['show', '--json'],
    ['check', '--json'],
    ['hosts', '--json'],
    ['logs', '-n', '1000'],
    ['logs', '--json'],
    ['reload'],
  ];
  for (const args of commands) {
    const { stdout, stderr } = await world.run(args, { env });
    said.push(`${args.join(' ')}: ${stdout}${stderr}`);
  }
  const { supervisor, tunnels } = await world.status();
  const asked = tunnels.flatMap(({ name }) => [
    ['why', name],
    ['why', name, '--json'],
  ]);
  const answers = await Promise.all(asked.map((args) => world.run(args, { env })));
  said.push(...answers.map(({ stdout, stderr }, index) => `${asked[index]?.join(' ')}: ${stdout}${stderr}`));
  const own = supervisor.pid === null ? [] : processes(supervisor.pid);
  return [...said, ...own];
}

describe.skipIf(missing !== null)('planted secrets', () => {
  test('are in nothing that was written, said or started, right or wrong', async () => {
    const secret = {
      password: `${word} passw0rd/+?`,
      passphrase: `${word}-passphrase`,
      totp: 'PL4NTEDSEEDJBSWY3DPEHPK3PXP',
      proxy: `${word}-proxy`,
      wrong: `${word}-wrong`,
      socks: `${word}-socks`,
    };
    const { launcher } = privateEtc(passwordPam(secret.password));
    await using sshd = await startSshd({
      launcher,
      config: ['UsePAM yes', 'PasswordAuthentication yes', 'KbdInteractiveAuthentication yes'],
    });
    await using proxy = await startProxy('http', { user: 'me', password: secret.proxy });
    await using world = createWorld();
    const sources = temporaryFolder('sources');
    const keep = (name: string, text: string): string => {
      const file = join(sources, name);
      writeFileSync(file, `${text}\n`, { mode: 0o600 });
      return file;
    };
    const [right, wrong] = [keep('right', secret.password), keep('wrong', secret.wrong)];
    const key = makeKey(join(sources, 'id'), ['-t', 'ed25519', '-a', '4'], secret.passphrase);
    writeFileSync(sshd.authorizedKeys, readFileSync(`${key}.pub`));
    const other = makeKey(join(sources, 'other'), ['-t', 'ed25519', '-a', '4'], secret.passphrase);
    writeFileSync(sshd.authorizedKeys, readFileSync(`${other}.pub`), { flag: 'a' });
    const place = `hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, agent: false, host_keys: accept-new`;
    const byWord = `${place}, identity: [], auth: [password, keyboard-interactive]`;
    const byKey = `${place}, identity: [${key}], auth: [publickey]`;
    const byOther = byKey.replace(key, other);
    const url = `http://me@127.0.0.1:${proxy.port}`;
    world.config(`hosts:
  by-env: { ${byWord}, password: "env:P_WORD", proxy_command: nc %h %p }
  by-file: { ${byWord}, password: "file:${right}", totp: "env:P_TOTP" }
  by-command: { ${byWord}, password: { command: [cat, ${right}] }, totp: { command: [cat, ${wrong}] } }
  by-key: { ${byKey}, passphrase: "env:P_PHRASE" }
  by-proxy: { ${byWord}, password: "file:${right}", proxy: { url: "${url}", password: "env:P_PROXY" } }
  not-env: { ${byWord}, password: "env:P_WRONG" }
  not-file: { ${byWord}, password: "file:${wrong}" }
  not-command: { ${byWord}, password: { command: [cat, ${wrong}] } }
  not-key: { ${byOther}, passphrase: "env:P_WRONG" }
  not-proxy: { ${byWord}, password: "file:${right}", proxy: { url: "${url}", password: "env:P_WRONG" } }
  not-chatty: { ${byWord}, password: { command: [sh, -c, "echo unlocking failed >&2; cat ${right}; exit 3"] } }
tunnels:
${[
  'by-env',
  'by-file',
  'by-command',
  'by-key',
  'by-proxy',
  'not-env',
  'not-file',
  'not-command',
  'not-key',
  'not-proxy',
  'not-chatty',
]
  .map((name) => `  ${name}: { host: ${name}, local: auto, remote: 9 }\n`)
  .join(
    '',
  )}  socks: { host: by-env, type: dynamic, local: auto, socks_auth: { user: me, password: "env:P_SOCKS" } }
`);
    const env = {
      P_WORD: secret.password,
      P_PHRASE: secret.passphrase,
      P_TOTP: secret.totp,
      P_PROXY: secret.proxy,
      P_WRONG: secret.wrong,
      P_SOCKS: secret.socks,
    };
    const shown = await everything(world, env);
    const states = (await world.status()).tunnels.map(({ name, state }) => `${name} ${state}`);
    expect(states.filter((line) => /^(by-|socks)/.test(line) && !line.endsWith(' up'))).toEqual([]);
    expect(states.filter((line) => line.startsWith('not-') && !line.endsWith(' needs-you'))).toEqual([]);
    const children = shown.filter((text) => text.includes('nc\0'));
    expect(children.length).toBeGreaterThan(0); // the proxy command was among them

    const stdin = await world.run(['secret', 'set', 'by-key', 'password'], { input: `${secret.wrong}\n` });
    shown.push(stdin.stdout, stdin.stderr);
    const restarted = await world.run(['restart'], { env });
    shown.push(restarted.stdout, restarted.stderr);
    const down = await world.run(['down']);
    shown.push(down.stdout, down.stderr);

    const written = filesBelow(world.folder).map((file) => `${file}: ${readFileSync(file, 'latin1')}`);
    expect(written.length).toBeGreaterThan(2);
    const needles = Object.values(secret).flatMap(spellings);
    const found = [...shown, ...written].flatMap((text) =>
      needles
        .filter((needle) => text.includes(needle))
        .map((needle) => `${needle} in ${text.slice(0, 2000)}`),
    );
    expect(found).toEqual([]);
    for (const file of filesBelow(world.folder).filter((path) => !path.includes('/home/')))
      expect(statSync(file).mode & 0o077, file).toBe(0);
  });

  test('written into the config are refused, and not repeated', async () => {
    await using world = createWorld();
    for (const keys of [
      `password: ${word}`,
      `passphrase: ${word}`,
      `totp: ${word}`,
      `proxy: "http://me:${word}@127.0.0.1:1"`,
      `proxy: { url: "socks5://me@127.0.0.1:1", password: ${word} }`,
      `password: { value: ${word} }`,
    ]) {
      world.config(`tunnels:\n  db: { host: me@127.0.0.1, local: auto, remote: 9, ${keys} }\n`);
      for (const args of [['up'], ['check'], ['check', '--json'], ['show'], ['status']]) {
        const ran = await world.run(args);
        if (args[0] !== 'status') expect(ran.code, keys).toBe(3);
        expect(ran.stdout + ran.stderr, keys).not.toContain(word);
      }
    }
  });
});
