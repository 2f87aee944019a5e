// Whose secret it is: a host of the config with the server it leads to, or a key file.
import type { Context } from '../client/context.ts';
import { existsSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { declaredHost, hostsNamed } from '../config/named-host.ts';
import { TunnelError } from '../errors.ts';
import { formatLogin, type Host } from '../model/host.ts';
import type { SecretKind } from '../model/secret.ts';
import type { Tunnel } from '../model/tunnel.ts';
import { readyConfig, type ReadyConfig } from '../client/ready-config.ts';

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
