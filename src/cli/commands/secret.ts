// `tunnel secret`: entries of the keychain, each bound to the server it was set for. A value never stands in arguments.
import { shortPath } from '../../config/locate.ts';
import { checkOwnFolder } from '../../files/folders.ts';
import { TunnelError } from '../../errors.ts';
import { Secret, type SecretKind } from '../../model/secret.ts';
import { renderTable } from '../../render/table.ts';
import { bindingsFolder, createBindings, type Binding } from '../../secrets/entries.ts';
import { secretFromBytes, secretLimitBytes } from '../../secrets/sources.ts';
import { parseTotp } from '../../secrets/totp.ts';
import { shellWord } from '../../model/shell-word.ts';
import { usage, type CommandSpec, type Run } from '../command.ts';
import { Interrupted, type Context } from '../../client/context.ts';
import { keychainEntries } from '../../client/keychain-entries.ts';
import { ask, locateTarget } from '../../client/supervisor.ts';
import { existsSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { declaredHost, hostsNamed } from '../../config/named-host.ts';
import { formatLogin, type Host } from '../../model/host.ts';
import type { Tunnel } from '../../model/tunnel.ts';
import { readyConfig, type ReadyConfig } from '../../client/ready-config.ts';

const kinds: readonly SecretKind[] = ['password', 'passphrase', 'totp'];

export const spec: CommandSpec = {
  name: 'secret',
  words: 'set NAME [KIND] | delete NAME [KIND] | list',
  stands: { NAME: 'host', KIND: kinds },
  takes: { least: 0, most: 3 },
  about: 'passwords, passphrases and one-time code secrets in the keychain',
  more: [
    "NAME is a host's name or the path of a key file; KIND is password, passphrase or totp (default: password for a",
    'host, passphrase for a key file). The value comes from a hidden prompt, off a terminal from stdin.',
    'It is used where the config says keychain: password: keychain under the host.',
  ],
  options: [],
  examples: [
    ['tunnel secret set katie', 'asks for the password, unseen'],
    ['tunnel secret set ~/.ssh/id_ed25519', 'the passphrase of a key file'],
    ['pass show katie-totp | tunnel secret set katie totp', 'a one-time code secret, from stdin'],
    ['tunnel secret list', 'what is kept, and for which server'],
  ],
};

export const run: Run = async (context, args) => {
  const [action = 'list', name, kind, ...others] = args.words;
  if (kind !== undefined && !isKind(kind))
    throw usage(
      `a secret is a ${kinds.slice(0, -1).join(', ')} or ${kinds.at(-1) ?? ''}, not ${shellWord(kind)}`,
      { command: 'secret --help' },
    );
  refuseOthersState(context);
  switch (action) {
    case 'list':
      if (name !== undefined) break;
      return list(context);
    case 'set':
      if (name === undefined || others.length > 0) break;
      return set(context, name, kind ?? null);
    case 'delete':
      if (name === undefined || others.length > 0) break;
      return remove(context, name, kind ?? null);
  }
  throw usage('tunnel secret takes set NAME [KIND], delete NAME [KIND] or list', {
    command: 'secret --help',
  });
};

/** Whoever can write there decides which server a password goes to. Throws DAEMON_DOWN, as a supervisor would. */
function refuseOthersState({ places, facts }: Context): void {
  for (const folder of [places.stateDir, bindingsFolder(places.stateDir)]) {
    const refused = checkOwnFolder(folder, facts);
    if (refused !== null) throw refused;
  }
}

const isKind = (word: string): word is SecretKind => kinds.some((kind) => kind === word);

async function set(context: Context, name: string, kind: SecretKind | null): Promise<number> {
  const owner = await ownerOf(context, name);
  const entry = { name: owner.name, kind: kind ?? owner.usual, endpoint: owner.endpoint };
  if (owner.endpoint === null && entry.kind !== 'passphrase')
    throw usage(`${name} is a key file, which has a passphrase and no ${entry.kind}`, {
      command: 'secret set',
      on: { words: [name] },
    });
  const value = await readValue(context, entry);
  if (entry.kind === 'totp') parseTotp(value);
  await keychainEntries(context).write(entry, value);
  context.talk(`stored in the keychain: the ${entry.kind} of ${shown(context, entry)}`);
  const key = `${entry.kind}: keychain`;
  if (!owner.uses(entry.kind)) context.talk(`hint: ${key}    # under ${owner.where}, or it is not used`);
  await recheck(context, owner);
  return 0;
}

/** On a terminal unseen, else all of stdin but one line end. */
async function readValue(context: Context, entry: Binding): Promise<Secret> {
  if (context.interactive) return typed(context, entry);
  if (context.stdin.isTTY)
    throw usage('stderr is not a terminal, so the secret cannot be asked for', {
      command: 'secret set NAME < FILE',
    });
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of context.stdin) {
    chunks.push(Buffer.from(chunk as Buffer));
    length += (chunk as Buffer).length;
    if (length > secretLimitBytes) throw badValue('it is longer than 64 KiB');
  }
  return secretFromBytes(Buffer.concat(chunks), badValue);
}

async function typed(context: Context, entry: Binding): Promise<Secret> {
  const prompter = context.prompter();
  const what = entry.kind === 'totp' ? 'One-time code secret' : titled(entry.kind);
  const outcome = await prompter.question({
    id: 'secret',
    link: '',
    kind: 'prompt',
    host: entry.name,
    endpoint: entry.endpoint ?? '',
    text: `${what} of ${shown(context, entry)}`,
    echo: false,
    fingerprint: null,
    keyType: null,
    randomart: [],
    fromServer: false,
    tries: 0,
  });
  if (outcome.kind === 'interrupted') throw new Interrupted('SIGINT');
  if (outcome.kind !== 'answered' || outcome.value === '') throw badValue('nothing was typed');
  return new Secret(outcome.value);
}

const titled = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);

function badValue(why: string): TunnelError {
  return new TunnelError('USAGE', `the secret cannot be stored: ${why}`, {
    hint: [{ command: 'secret set NAME < FILE' }, ', or on a terminal'],
  });
}

/** A host with its endpoint, a key file by its short path. */
function shown(context: Context, { name, endpoint }: Binding): string {
  return endpoint === null ? shortPath(name, context.facts) : `${name} (${endpoint})`;
}

async function remove(context: Context, word: string, kind: SecretKind | null): Promise<number> {
  const path = keptPath(context, word);
  const name = path ?? word;
  const usual = path === null ? 'password' : 'passphrase';
  const removed = await keychainEntries(context).remove(name, kind ?? usual);
  const what = `the ${kind ?? usual} of ${path === null ? word : shortPath(path, context.facts)}`;
  context.talk(removed ? `deleted from the keychain: ${what}` : `the keychain has no entry for ${what}`);
  if (!removed) context.talk(['hint: ', { command: 'secret list' }]);
  return removed ? 0 : 2;
}

/** What we set; the keychain itself is not asked, so it need not be unlocked. */
async function list(context: Context): Promise<number> {
  const entries = await createBindings(bindingsFolder(context.places.stateDir)).list();
  if (context.options.json) {
    context.json(entries);
    return 0;
  }
  if (entries.length === 0) {
    context.talk('no secret has been set with tunnel yet');
    context.talk(['hint: ', { command: 'secret set NAME' }]);
    return 0;
  }
  const rows = entries.map(({ name, kind, endpoint }) => ({
    cells: [endpoint === null ? shortPath(name, context.facts) : name, kind, endpoint ?? '-'],
  }));
  for (const line of renderTable(['NAME', 'KIND', 'FOR'], rows, context.paint)) context.out(line);
  return 0;
}

/** A link that waits for this secret looks again; no supervisor is started for it. */
async function recheck(context: Context, { hosts }: SecretOwner): Promise<void> {
  if (hosts.length === 0) return;
  try {
    await ask(locateTarget(context), 'recheck', { hosts: [...hosts] });
  } catch (thrown) {
    const why = thrown instanceof TunnelError ? thrown.message : String(thrown);
    context.talk(['the supervisor was not told, ', { command: 'up' }, ` tells it: ${why}`]);
  }
}

export interface SecretOwner {
  /** A host's name, or the absolute path of a key file. */
  readonly name: string;
  /** user@hostname:port; null for a key file. */
  readonly endpoint: string | null;
  /** The kind that is meant when none is said. */
  readonly usual: SecretKind;
  /** Names of the hosts whose logins may want it. */
  readonly hosts: readonly string[];
  /** True when the config takes that kind from the keychain. */
  readonly uses: (kind: SecretKind) => boolean;
  /** Where the config would have to say so. */
  readonly where: string;
}

/** Throws NO_SUCH_TUNNEL for what is neither, and what keeps the config from being read when a host is meant. */
export async function ownerOf(context: Context, word: string): Promise<SecretOwner> {
  const path = keptPath(context, word);
  return path === null ? hostOwner(context, word) : fileOwner(context, path);
}

/**
 * The absolute path that a word stands for; null when it is no path, so a host's name. Names of ssh_config may have a
 * slash in them: then it is the file where there is one.
 */
export function keptPath({ facts }: Context, word: string): string | null {
  if (word === '~' || word.startsWith('~/')) return join(facts.home, word.slice(1));
  if (isAbsolute(word)) return resolve(word);
  if (/^\.{1,2}[/\\]/.test(word)) return resolve(facts.cwd, word);
  return /[/\\]/.test(word) && existsSync(resolve(facts.cwd, word)) ? resolve(facts.cwd, word) : null;
}

async function hostOwner(context: Context, word: string): Promise<SecretOwner> {
  const config = await readyConfig(context);
  const written = word.includes('@') ? word.slice(word.lastIndexOf('@') + 1) : word;
  const found = [word, written].flatMap((name) => hostsNamed(name, config.resolved));
  const spare = found.length > 0 ? null : await declaredHost(word, config.path, context.facts);
  const hosts = spare === null ? found : [spare];
  const [host] = hosts;
  if (host === undefined) throw nobody(context, word, config.resolved.tunnels);
  const endpoints = [...new Set(hosts.map(formatLogin))];
  if (endpoints.length > 1)
    context.talk(`${word} stands for ${endpoints.join(' and ')}; this is for ${formatLogin(host)}`);
  return {
    name: host.name,
    endpoint: formatLogin(host),
    usual: 'password',
    hosts: [host.name],
    uses: (kind) => host[kind]?.from === 'keychain',
    where: `host ${host.name}`,
  };
}

/** Works without a config: a key file is nobody's. */
async function fileOwner(context: Context, path: string): Promise<SecretOwner> {
  if (!existsSync(path))
    throw new TunnelError('USAGE', `there is no key file ${path}`, {
      hint: [{ command: 'secret set NAME' }, ', with the name of a host or the path of a key file'],
    });
  const config = await readyConfig(context).catch((): ReadyConfig | null => null);
  const users = (config?.resolved.tunnels ?? [])
    .flatMap(({ ways }) => ways.flat())
    .filter(({ identities }) => identities.includes(path));
  const takes = (host: Host): boolean => host.passphrase?.from === 'keychain';
  return {
    name: path,
    endpoint: null,
    usual: 'passphrase',
    hosts: [...new Set(users.map(({ name }) => name))],
    uses: () => users.some(takes),
    where: users[0] === undefined ? 'the host that uses the key' : `host ${users[0].name}`,
  };
}

function nobody(context: Context, word: string, tunnels: readonly Tunnel[]): TunnelError {
  const tunnel = tunnels.find(({ name }) => name === word);
  const server = tunnel?.ways[0].at(-1)?.name;
  if (server !== undefined)
    return new TunnelError(
      'USAGE',
      `${word} is a tunnel, and secrets belong to hosts: its host is ${server}`,
      {
        hint: { command: 'secret set', on: { host: server } },
      },
    );
  const isFile = existsSync(resolve(context.facts.cwd, word));
  return new TunnelError('USAGE', `no host in the config is named ${word}`, {
    hint: isFile
      ? { command: 'secret set', on: { words: [`./${word}`] }, note: 'for the key file' }
      : { command: 'show' },
  });
}
